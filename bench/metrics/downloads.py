"""Files of weights that metrics need and that can't ship: where they lie, and how they get there.

Each lies where the library that reads it looks, so that what others downloaded before is found.
"""

import http.client
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import BenchError, WrongUsage
from bench.files import replacing, sha256_file
from bench.progress import progress
from bench.resources import cache_folder

_MEGABYTE = 2**20
_PATIENCE = 60  # seconds without an answer


def torch_hub() -> Path:
    """Torch's cache of networks, as torch.hub finds it."""
    if chosen := os.environ.get("TORCH_HOME"):
        return Path(chosen).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch" / "hub"


def deepface_home() -> Path:
    """Where DeepFace looks for weights."""
    return Path(os.environ.get("DEEPFACE_HOME") or Path.home()) / ".deepface" / "weights"


@dataclass(frozen=True)
class Download:
    """A file that `bench weights get` brings.

    Attributes:
        name: how people ask for it.
        file: its name.
        address: where it comes from.
        folder: where it belongs.
        digits: the first digits of its sha256, "" where no source states them.
    """

    name: str
    file: str
    address: str
    folder: Callable[[], Path]
    digits: str = ""

    @property
    def path(self) -> Path:
        """Where it lies, or would lie."""
        return self.folder() / self.file

    @property
    def sha256(self) -> str:
        """Of the file that is here; "absent" without one."""
        path = self.path
        return _hash(path, path.stat().st_mtime_ns) if path.is_file() else "absent"

    def lacking(self) -> str | None:
        """What whoever wants it is to be told, without the subject; None when it can be used."""
        command = f"run `bench weights get {self.name}`"
        if not self.path.is_file():
            return f"needs {self.file}: {command}."
        if not self.sha256.startswith(self.digits):
            return f"can't use {self.path}, which is damaged: delete it and {command}."
        return None


@cache
def _hash(path: Path, changed: int) -> str:
    return sha256_file(path)


_PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_DEEPFACE = "https://github.com/serengil/deepface_models/releases/download/v1.0/"


def _pyiqa(name: str, file: str, digits: str = "") -> Download:
    return Download(name, file, _PYIQA + file, lambda: torch_hub() / "pyiqa", digits)


def _deepface(name: str, file: str) -> Download:
    return Download(name, file, _DEEPFACE + file, deepface_home)


INCEPTION_CLEAN = Download(
    "inception-clean",
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt",
    cache_folder,
)
INCEPTION = Download(
    "inception",
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    lambda: torch_hub() / "checkpoints",
    "6726825d",
)
MUSIQ = _pyiqa("musiq", "musiq_koniq_ckpt-e95806b9.pth", "e95806b9")
NIQE = _pyiqa("niqe", "niqe_modelparameters.mat")
CLIP = Download(
    "clip",
    "RN50.pt",
    "https://openaipublic.azureedge.net/clip/models/"
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
    lambda: torch_hub() / "clip",
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
)
VGG_FACE = _deepface("vgg-face", "vgg_face_weights.onnx")
ARCFACE = _deepface("arcface", "arcface_weights.onnx")
FACENET512 = _deepface("facenet512", "facenet512_weights.onnx")

DOWNLOADS = {
    item.name: item
    for item in (INCEPTION_CLEAN, INCEPTION, MUSIQ, NIQE, CLIP, VGG_FACE, ARCFACE, FACENET512)
}


def get(name: str) -> Path:
    """Bring the file `name` to where it belongs, unless it is there, and check it.

    Raises:
        BenchError: there is none of this name, it can't be downloaded, or it is another file.
    """
    if name not in DOWNLOADS:
        raise WrongUsage(f"{name!r} can't be fetched: choose lpips, {', '.join(DOWNLOADS)}.")
    item = DOWNLOADS[name]
    if item.lacking():
        with replacing(item.path) as temporary:
            download(item.address, temporary)
            if not sha256_file(temporary).startswith(item.digits):
                raise BenchError(f"{item.address} gave another file than the known one.")
    return item.path


def download(address: str, path: Path) -> None:
    """Save what lies at an address.

    Raises:
        BenchError: it can't be reached.
    """
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer, path.open("wb") as file:  # noqa: S310 - https
            total = int(answer.headers.get("Content-Length") or 0) // _MEGABYTE
            with progress(f"{address.rpartition('/')[2]} (MB)", total) as advance:
                while piece := answer.read(_MEGABYTE):
                    file.write(piece)
                    advance()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{address} can't be downloaded ({error}).") from None
