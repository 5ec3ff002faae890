"""Open a source of photographs: a folder, an archive, Parquet files, or a dataset on the hub.

Every source gives its images stable ids in a stable order and unpacks nothing to disk.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.paths import HUB
from bench.images import image_bytes
from bench.testsets.archives import open_archive
from bench.testsets.hub import HubSource
from bench.testsets.parquet import ParquetSource
from bench.testsets.photographs import (
    NamedSource,
    Photograph,
    Source,
    hub_name,
    identified,
    is_image,
)


def open_source(text: str) -> Source:
    """Open the source given by a path or a hub name.

    Raises:
        BenchError: nothing at that path, or nothing that can be read.
    """
    if text.startswith(HUB):
        return HubSource(*hub_name(text.removeprefix(HUB)))
    path = Path(text)
    if path.is_dir():
        files = sorted(path.glob("**/*.parquet"))
        if files and not any(is_image(name.name) for name in path.rglob("*")):
            return ParquetSource(tuple(files))
        return FolderSource(path)
    if not path.is_file():
        raise BenchError(
            f"{text} does not exist: give --source a folder, a zip, tar or Parquet file of images, "
            f"or {HUB}OWNER/NAME for a dataset on the Hugging Face hub."
        )
    if path.suffix == ".parquet":
        return ParquetSource((path,))
    return open_archive(path)


class FolderSource(NamedSource):
    """Images of a folder, including subfolders, in name order."""

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        for image, name in self._members().items():
            if image in wanted:
                path = self.path / name
                yield Photograph(image, str(path), name, image_bytes(path))

    def _members(self) -> Mapping[str, str]:
        found = sorted(self.path.rglob("*"))
        for path in found:
            if is_image(path.name) and path.is_symlink() and not path.exists():
                raise BenchError(f"{path} is a broken link: fix or remove it.")
        names = [p.relative_to(self.path).as_posix() for p in found if p.is_file()]
        return identified(names, str(self))
