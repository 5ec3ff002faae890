"""Pictures that were made elsewhere, compared with what was expected: names, sizes, mode."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.images import Pixels, decode, image_bytes

NAMES_SHOWN = 10


@dataclass
class Delivery:
    """What came: image ids by what is wrong with them, and files that nobody asked for."""

    missing: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return what is wrong, as sentences; empty if nothing is."""
        parts = {
            "Missing": self.missing,
            "Wrong": [f"{image} ({reason})" for image, reason in self.wrong.items()],
            "Not asked for": self.extra,
        }
        return " ".join(f"{what}: {_listed(names)}." for what, names in parts.items() if names)


def inspect(
    images: Iterable[str], files: Mapping[str, Path], extra: Iterable[str], size: int
) -> Delivery:
    """Look at every picture; `files` is image id -> file, `extra` the names of further files."""
    delivery = Delivery(extra=sorted(extra))
    for image in images:
        if image not in files:
            delivery.missing.append(image)
            continue
        try:
            read_delivered(files[image], size)
        except BenchError as error:
            delivery.wrong[image] = str(error)
    return delivery


def read_delivered(file: Path, size: int) -> Pixels:
    """Return an image [size, size, 3].

    Raises:
        BenchError: it is no image, of another size, or not 8-bit RGB; in a few words.
    """
    try:
        data = image_bytes(file)
        image = decode(data, file.name)
    except BenchError:
        raise BenchError("no image, or a damaged one") from None
    mode = Image.open(io.BytesIO(data)).mode
    if image.size != (size, size):
        raise BenchError(f"{image.width} x {image.height}, not {size} x {size}")
    if mode != "RGB":
        raise BenchError(f"mode {mode}, not RGB")
    return np.asarray(image)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
