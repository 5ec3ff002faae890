"""Checks of results made elsewhere: names, sizes, mode."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.images import Pixels, decode, image_bytes

NAMES_SHOWN = 10
LOSSLESS = {"RGB", "L", "LA", "RGBA"}
"""Pillow modes that convert to RGB without loss; alpha must be opaque."""

Filter = Literal["lanczos", "bicubic", "area"]
FILTERS: Mapping[Filter, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
"""Filters of Pillow for results of another size."""


@dataclass
class Delivery:
    """Delivered files: missing and wrong image ids, and extra files."""

    missing: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the problems as sentences; empty if there are none."""
        parts = {
            "Missing": self.missing,
            "Wrong": [f"{image} ({reason})" for image, reason in self.wrong.items()],
            "Not asked for": self.extra,
        }
        return " ".join(f"{what}: {_listed(names)}." for what, names in parts.items() if names)


def inspect(
    images: Iterable[str],
    files: Mapping[str, Path],
    extra: Iterable[str],
    size: int,
    resize: Filter | None = None,
) -> Delivery:
    """Check every file; `files` is image id -> file, `extra` the names of other files."""
    delivery = Delivery(extra=sorted(extra))
    for image in images:
        if image not in files:
            delivery.missing.append(image)
            continue
        try:
            read_delivered(files[image], size, resize)
        except BenchError as error:
            delivery.wrong[image] = str(error)
    return delivery


def read_delivered(file: Path, size: int, resize: Filter | None = None) -> Pixels:
    """Return an image [size, size, 3].

    Grey is repeated over the channels, an opaque alpha channel is dropped. With `resize` an image
    of another size is resized in 8 bits by that filter.

    Raises:
        BenchError: not an image, another size, transparent, or another mode; in a few words.
    """
    try:
        data = image_bytes(file)
        image = decode(data, file.name)
    except BenchError:
        raise BenchError("no image, or a damaged one") from None
    source = Image.open(io.BytesIO(data))
    if source.mode not in LOSSLESS:
        raise BenchError(f"mode {source.mode}, not RGB")
    if source.mode in {"LA", "RGBA"} and source.getchannel("A").getextrema() != (255, 255):
        raise BenchError("transparent")
    if image.size != (size, size):
        if resize is None or image.width != image.height:
            raise BenchError(f"{image.width} x {image.height}, not {size} x {size}")
        image = image.resize((size, size), FILTERS[resize])
    return np.asarray(image)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
