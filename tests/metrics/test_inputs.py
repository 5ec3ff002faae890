"""Inputs of metric networks: equal to the last bit to what each package reads from the file."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.files import write_bytes
from bench.images import encode_png, read_image, resize_bicubic
from bench.metrics import find_measure, recognition
from bench.metrics.features import inception
from bench.metrics.inputs import SIGNED, TO_509, UNIT, batch
from bench.networks.torchvision_guard import import_torchvision

SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"


def every_byte() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image [96, 96, 3] in which every channel has every byte."""
    values = np.resize(np.arange(256, dtype=np.uint8), 96 * 96).reshape(96, 96)
    return np.stack([values, values[::-1], values.T], axis=2)


@pytest.fixture(params=range(4))
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three faces at different sizes, and an image with every byte."""
    faces = sorted(SAMPLE.glob("*.png"))
    pictures = [
        *(resize_bicubic(read_image(faces[i]), size) for i, size in enumerate((64, 96, 160))),
        every_byte(),
    ]
    path = tmp_path / "image.png"
    write_bytes(path, encode_png(pictures[request.param]))
    return path


def package(name: str, needs: str = "") -> Any:
    if importlib.util.find_spec((needs or name).partition(".")[0]) is None:
        pytest.skip(f"{needs or name} is not installed")
    import_torchvision()
    return importlib.import_module(name)


def test_pyiqa_reads_bytes_divided_by_255(file: Path) -> None:
    theirs = package("pyiqa.utils.img_util").imread2tensor(str(file), rgb=True)
    assert torch.equal(batch([read_image(file)], UNIT)[0], theirs)


def test_lpips_reads_bytes_in_double_precision(file: Path) -> None:
    lpips = package("lpips")
    package("cv2")
    theirs = lpips.im2tensor(lpips.load_image(str(file)))
    assert torch.equal(batch([read_image(file)], SIGNED), theirs)


def test_the_paper_protocol_doubles_bytes(file: Path) -> None:
    pixels = read_image(file)
    theirs = torch.tensor(pixels).permute(2, 0, 1)[None].float() * 2 - 1
    assert torch.equal(batch([pixels], TO_509), theirs)
    assert TO_509.max() == 509


def test_clean_fid_resizes_as_ours(file: Path) -> None:
    dataset = package("cleanfid.utils", needs="cleanfid").ResizeDataset([str(file)], mode="clean")
    theirs = dataset[0]
    assert torch.equal(inception.CLEAN.resized([read_image(file)])[0], theirs)


def test_torch_fidelity_gets_bytes(file: Path) -> None:
    pixels = read_image(file)
    given = inception.LEGACY.resized([pixels])
    assert given.dtype == torch.uint8  # the package refuses another type and resizes by itself
    assert torch.equal(given[0].permute(1, 2, 0), torch.tensor(pixels))


def test_deepface_reads_as_opencv(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = package("cv2").imread(str(file))
    shown: list[Any] = []

    class Package:
        @staticmethod
        def represent(pixels: Any, **_: Any) -> list[dict[str, list[float]]]:
            shown.append(np.array(pixels))
            return [{"embedding": [1.0, 0.0]}]

    monkeypatch.setattr(recognition, "deepface", lambda weights: Package)
    monkeypatch.setattr(recognition.Faces, "unavailable", lambda self: None)
    recognition.Faces("VGG-Face", "opencv").extract([read_image(file)])
    assert np.array_equal(shown[0], theirs)


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_lpips_shows_its_network_exactly_the_packages_input(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = find_measure(name)
    if reason := metric.unavailable():
        pytest.skip(reason)
    lpips = package("lpips")
    package("cv2")
    shown: list[torch.Tensor] = []
    perceptual = importlib.import_module("bench.metrics.perceptual")
    genuine = perceptual._directions

    def watched(network: Any, pictures: torch.Tensor) -> Any:
        shown.append(pictures.clone())
        return genuine(network, pictures)

    monkeypatch.setattr(perceptual, "_directions", watched)
    pixels = read_image(file)
    metric.score([pixels], [pixels])  # type: ignore[attr-defined]
    theirs = lpips.im2tensor(lpips.load_image(str(file)))
    assert len(shown) == 2
    assert all(torch.equal(given, theirs) for given in shown)
