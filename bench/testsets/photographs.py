"""Photographs and the protocol of their sources: ids, order, valid names."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from unicodedata import normalize

from bench.core.errors import BenchError, WrongUsage
from bench.core.names import invalid_filename_reason
from bench.core.paths import HUB
from bench.images import IMAGE_SUFFIXES

MAX_IMAGES = 1_000_000


@dataclass(frozen=True)
class Photograph:
    """An image file: `name` for messages, `source` its name within the source."""

    id: str
    name: str
    source: str
    data: bytes


class Source(Protocol):
    """Photographs with ids."""

    def ids(self, count: int | None) -> list[str]:
        """Return ids in order; those after the first `count` may be omitted."""
        ...

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        """Yield the photographs with these ids in the fastest order."""
        ...


@dataclass(frozen=True)
class NamedSource(ABC):
    """Photographs that are told apart by their paths, in name order."""

    path: Path

    def ids(self, count: int | None) -> list[str]:
        return list(self._members())

    def __str__(self) -> str:
        return str(self.path)

    @abstractmethod
    def _members(self) -> Mapping[str, str]:
        """Return image id -> path within the source."""


def is_image(name: str) -> bool:
    """Return True if a path has an image suffix and no hidden part."""
    path = PurePosixPath(name)
    return (
        not any(part.startswith(".") for part in path.parts)
        and path.suffix.lower() in IMAGE_SUFFIXES
    )


def identified(names: list[str], where: str) -> dict[str, str]:
    """Return image id -> path for every image among the paths, in order.

    The id is the path without its suffix, folders joined by two underscores, in composed Unicode
    (NFC): macOS may decompose names, and its test sets must equal those of Linux. Hidden files are
    left out.

    Raises:
        BenchError: no image, too many, two that would share an id, or one that no file can have.
    """
    images: dict[str, str] = {}
    for name in names:
        if not is_image(name):
            continue
        image = normalize("NFC", "__".join(PurePosixPath(name).with_suffix("").parts))
        if reason := invalid_filename_reason(image):
            raise BenchError(f"{where} holds {name!r}, whose name {reason}: rename it.")
        if image in images:
            raise BenchError(
                f"In {where}, {images[image]} and {name} would get the same name: "
                "rename one of them."
            )
        images[image] = name
    if not images:
        raise BenchError(f"{where} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    if len(images) > MAX_IMAGES:
        raise BenchError(f"{where} holds more than {MAX_IMAGES:,} images: give a part of it.")
    return images


def row_id(row: int) -> str:
    """Return the id of an unnamed image, such as 000000."""
    return f"{row:06}"


def hub_name(text: str) -> tuple[str, str]:
    """Parse OWNER/NAME or OWNER/NAME:SPLIT (default split: train).

    Raises:
        WrongUsage: the name has neither form.
    """
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?", text)
    if not match:
        raise WrongUsage(
            f"{HUB}{text} is not of the form {HUB}OWNER/NAME or {HUB}OWNER/NAME:SPLIT."
        )
    return match[1], match[2] or "train"
