"""Where photographs come from: a folder, an archive, Parquet files, or a dataset on the hub.

Whatever the source, an image has an id by which it is known everywhere, images have an order, and
nothing is unpacked to disk.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from bench.errors import BenchError, WrongUsage
from bench.images import IMAGE_SUFFIXES, image_bytes
from bench.names import objection

HUB = "hf:"
"""What a dataset on the hub begins with: hf:OWNER/NAME or hf:OWNER/NAME:SPLIT."""

MAX_IMAGES = 1_000_000


@dataclass(frozen=True)
class Photograph:
    """One image file: `name` for messages, `source` its name within the source."""

    id: str
    name: str
    source: str
    data: bytes


class Source(Protocol):
    """Photographs with ids."""

    def ids(self, count: int | None) -> list[str]:
        """Ids in the source's order; those behind the first `count` may be left out."""
        ...

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        """The photographs with these ids, one at a time, in the order that reads fastest."""
        ...


def open_source(text: str) -> Source:
    """The source that a path or a name on the hub means.

    Raises:
        BenchError: there is nothing at that path, or nothing that can be read.
    """
    if text.startswith(HUB):
        from bench.testset.hub import HubSource

        return HubSource.named(text.removeprefix(HUB))
    path = Path(text)
    if path.is_dir():
        files = sorted(path.glob("**/*.parquet"))
        if files and not any(is_image(name.name) for name in path.rglob("*")):
            from bench.testset.parquet import ParquetSource

            return ParquetSource(tuple(files))
        return FolderSource(path)
    if not path.is_file():
        raise BenchError(
            f"{text} is not there: give --source a folder, a zip, tar or Parquet file of images, "
            f"or {HUB}OWNER/NAME for a dataset on the Hugging Face hub."
        )
    if path.suffix == ".parquet":
        from bench.testset.parquet import ParquetSource

        return ParquetSource((path,))
    from bench.testset.archives import open_archive

    return open_archive(path)


@dataclass(frozen=True)
class FolderSource:
    """The images of a folder, nested ones too, in the order of their names."""

    folder: Path

    def ids(self, count: int | None) -> list[str]:
        return list(self._files())

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        for image, name in self._files().items():
            if image in wanted:
                path = self.folder / name
                yield Photograph(image, str(path), name, image_bytes(path))

    def __str__(self) -> str:
        return str(self.folder)

    def _files(self) -> Mapping[str, str]:
        found = sorted(self.folder.rglob("*"))
        for path in found:
            if is_image(path.name) and path.is_symlink() and not path.exists():
                raise BenchError(f"{path} is a link to what is not there: mend or remove it.")
        names = [str(p.relative_to(self.folder).as_posix()) for p in found if p.is_file()]
        return identified(names, str(self.folder))


def is_image(name: str) -> bool:
    """Whether a path within a source is that of an image: no hidden part, and a known suffix."""
    path = PurePosixPath(name)
    return (
        not any(part.startswith(".") for part in path.parts)
        and path.suffix.lower() in IMAGE_SUFFIXES
    )


def identified(names: list[str], where: str) -> dict[str, str]:
    """Image id -> path within the source, for every image among the paths, in their order.

    The id is the path without its suffix, folders joined by two underscores. Hidden files are
    left out.

    Raises:
        BenchError: no image, too many, two that would share an id, or one that no file can have.
    """
    images: dict[str, str] = {}
    for name in names:
        if not is_image(name):
            continue
        image = "__".join(PurePosixPath(name).with_suffix("").parts)
        if reason := objection(image):
            raise BenchError(f"{where} holds {name!r}, whose name {reason}: rename it.")
        if image in images:
            raise BenchError(
                f"In {where}, {images[image]} and {name} would share a name: rename one of them."
            )
        images[image] = name
    if not images:
        raise BenchError(f"{where} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    if len(images) > MAX_IMAGES:
        raise BenchError(f"{where} holds more than {MAX_IMAGES:,} images: give a part of it.")
    return images


def row_id(row: int) -> str:
    """The id of an image that has no name of its own: 000000 and on."""
    return f"{row:06}"


def hub_name(text: str) -> tuple[str, str]:
    """Name and split of OWNER/NAME or OWNER/NAME:SPLIT; the split is "train" if unsaid.

    Raises:
        WrongUsage: it is neither.
    """
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?", text)
    if not match:
        raise WrongUsage(
            f"{HUB}{text} is not of the form {HUB}OWNER/NAME or {HUB}OWNER/NAME:SPLIT."
        )
    return match[1], match[2] or "train"
