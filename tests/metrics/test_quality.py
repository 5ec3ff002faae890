"""NIQE, PIQE and what else pyiqa has: against pyiqa called by hand, as its README shows."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.images import encode_png, read_image, resize_bicubic
from bench.metrics import find
from bench.metrics.checkpoints import checkpoint_path, checkpoint_sha256
from bench.networks.registry.records import find_record
from bench.networks.torchvision_guard import import_torchvision

SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"
DATA = Path(__file__).parents[3] / "shared" / "data" / "ffhq256"


@pytest.fixture
def pyiqa() -> Any:
    if importlib.util.find_spec("pyiqa") is None:
        pytest.skip("pyiqa is an extra, for its licence: pip install -e .[quality]")
    import_torchvision()
    return importlib.import_module("pyiqa")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three faces, and a smaller and a blurred form of the first."""
    sources = sorted((DATA if DATA.is_dir() else SAMPLE).iterdir())[:3]
    faces = [resize_bicubic(read_image(source), 256) for source in sources]
    pictures = [*faces, resize_bicubic(faces[0], 192)]
    pictures.append(resize_bicubic(resize_bicubic(faces[0], 32), 256))
    paths = [tmp_path / f"{index}.png" for index in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        write_bytes(path, encode_png(pixels))
    return paths


def scores(name: str, files: list[Path]) -> list[float]:
    pictures = [read_image(path) for path in files]
    return find(name).score(pictures, pictures)


def test_piqe_equals_pyiqa(pyiqa: Any, files: list[Path]) -> None:
    theirs = pyiqa.create_metric("piqe", device="cpu")
    expected = [float(theirs(str(path)).item()) for path in files]
    # The same bits go in, and the same code computes: nothing may differ.
    assert scores("piqe", files) == expected
    assert len({round(value, 1) for value in expected}) >= 4


def test_niqe_equals_pyiqa(
    pyiqa: Any, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With parameters of the test's own making: those of the authors are fetched by a command."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    random = np.random.default_rng(0)
    root = random.standard_normal((36, 36))
    parameters = {"mu_prisparam": random.random((1, 36)), "cov_prisparam": root @ root.T / 36}
    path = checkpoint_path("niqe")
    scipy.io.savemat(path, parameters)
    theirs = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=str(path))
    expected = [float(theirs(str(path)).item()) for path in files]
    assert scores("niqe", files) == expected
    assert len({round(value, 1) for value in expected}) >= 4
    assert checkpoint_sha256("niqe") in find("niqe").key


def test_the_input_range_is_pyiqas(pyiqa: Any) -> None:
    """pyiqa refuses what is out of [0, 1]; the extremes arrive as zero and one."""
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    theirs = pyiqa.create_metric("piqe", device="cpu")
    expected = float(theirs(Image.fromarray(halves)).item())
    assert find("piqe").score([halves], [halves]) == pytest.approx([expected])


def test_a_picture_that_is_too_small_is_refused() -> None:
    small = [np.zeros((64, 64, 3), np.uint8)]
    with pytest.raises(BenchError, match="NIQE: picture 0 is 64x64: give at least 96 pixels"):
        find("niqe").score(small, small)


@pytest.mark.parametrize(
    ("name", "weights"), [("musiq", "musiq"), ("clipiqa", "clip-rn50"), ("niqe", "niqe")]
)
def test_without_weights_the_command_is_named(
    name: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("bench.core.paths.find_spec", lambda name: object())
    assert find(name).unavailable() == (
        f"{find_record(weights).file} is missing: run `bench weights get {weights}`."
    )


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.core.paths.find_spec", lambda name: None)
    assert find("piqe").unavailable() == ("pyiqa not installed: run `pip install -e '.[quality]'`.")
