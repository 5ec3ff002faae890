"""Training images from a folder or zip, held in memory as uint8."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.progress import track
from bench.images import IMAGE_SUFFIXES, decode
from bench.testsets.photographs import is_image


@dataclass(frozen=True)
class TrainingImages:
    """Images [N, 3, size, size] uint8 in name order, and the hash of their files."""

    pixels: Tensor
    sha256: str

    def batch(self, indices: Tensor) -> Tensor:
        """Return images [B, 3, size, size] float32 in [-1, 1]."""
        return self.pixels[indices].float() / 127.5 - 1


def load_training_images(source: Path, size: int) -> TrainingImages:
    """Read all images of a folder or zip, centre-cropped and resized to `size`.

    Hidden files are left out, such as those that macOS adds to a zip.

    Raises:
        BenchError: nothing there, a file that is no image or smaller than `size`, a damaged zip.
    """
    names = _names(source)
    if not names:
        raise BenchError(f"{source} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    pixels = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    digest = hashlib.sha256()
    for index, (name, data) in enumerate(track(_read(source, names), "reading", total=len(names))):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        image = decode(data, f"{source}/{name}")
        side = min(image.size)
        if side < size:
            raise BenchError(
                f"{source}/{name} is {image.width} x {image.height}, smaller than the {size} px "
                "to train at: remove it or train at a smaller size."
            )
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        resized = image.resize((size, size), Image.Resampling.BICUBIC, box)
        pixels[index] = torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())
    return TrainingImages(pixels, digest.hexdigest())


def _names(source: Path) -> list[str]:
    if source.is_dir():
        files = [str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()]
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            files = archive.namelist()
    else:
        raise BenchError(f"{source} is neither a folder nor a zip: give the images to train on.")
    return sorted(filter(is_image, files))


def _read(source: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((name, (source / name).read_bytes()) for name in names)
    else:
        with zipfile.ZipFile(source) as archive:
            yield from ((name, _unzip(archive, name)) for name in names)


def _unzip(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: encrypted
        raise BenchError(f"{archive.filename} is damaged at {name} ({error}).") from None
