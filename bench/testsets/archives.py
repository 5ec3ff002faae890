"""Photographs in a zip or tar, read without unpacking.

Archives are not trusted: paths that point outside, links in place of images, and members that would
unpack to far more than their packed size are refused.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISLNK

from bench.core.errors import BenchError, Refused
from bench.core.names import stays_below
from bench.images import MAX_BYTES
from bench.testsets.photographs import NamedSource, Photograph, Source, identified, is_image

MAX_RATIO = 100
"""Largest compression ratio. Image files are compressed already, with a ratio near 1."""

SMALL = 2**20
"""Unpacked bytes that are allowed at any ratio."""


def open_archive(path: Path) -> Source:
    """Open the photographs of a zip or a (compressed) tar.

    Raises:
        BenchError: the file is neither.
    """
    if zipfile.is_zipfile(path):
        return ZipSource(path)
    try:
        if tarfile.is_tarfile(path):
            return TarSource(path)
    except (OSError, EOFError, zlib.error):
        pass
    raise BenchError(f"{path} is neither a folder nor a zip, tar or Parquet file: give another.")


class ZipSource(NamedSource):
    """Images of a zip in name order."""

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        members = self._members()
        with _readable(self.path), zipfile.ZipFile(self.path) as archive:
            for image, name in members.items():
                if image in wanted:
                    yield Photograph(image, f"{self.path}/{name}", name, archive.read(name))

    def _members(self) -> dict[str, str]:
        with _readable(self.path), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
        for member in members:
            link = S_ISLNK(member.external_attr >> 16)
            _check(self.path, member.filename, member.file_size, member.compress_size, link=link)
        return identified(sorted(member.filename for member in members), str(self.path))


class TarSource(NamedSource):
    """Images of a tar in name order, read in archive order."""

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        images = {name: image for image, name in self._members().items()}
        with _readable(self.path), tarfile.open(self.path) as archive:
            for member in archive:
                image = images.get(member.name, "")
                if image in wanted and (file := archive.extractfile(member)):
                    name = f"{self.path}/{member.name}"
                    yield Photograph(image, name, member.name, file.read())

    def _members(self) -> dict[str, str]:
        names, unpacked, packed = [], 0, self.path.stat().st_size
        with _readable(self.path), tarfile.open(self.path) as archive:
            for member in archive:
                link = not (member.isfile() or member.isdir())
                unpacked += member.size
                # A compressed tar does not state a member's share: count everything read so far.
                _check(self.path, member.name, member.size, None, link=link)
                check_ratio(self.path, member.name, unpacked, packed)
                names += [member.name] if member.isfile() else []
        return identified(sorted(names), str(self.path))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,  # a method of compression that Python does not know
        RuntimeError,  # encrypted
    ) as error:
        raise Refused(f"{path} is damaged or can't be read ({error}).") from None


def _check(path: Path, name: str, unpacked: int, packed: int | None, *, link: bool) -> None:
    if not stays_below(name):
        raise BenchError(f"{path} names {name}, which points outside it: do not use this archive.")
    if not is_image(name):
        return  # never read
    if link:
        raise BenchError(
            f"{path} holds {name} as a link, not as a file: pack the files themselves."
        )
    if unpacked > MAX_BYTES:
        raise BenchError(f"{path} holds {name}, which is too large for an image: remove it.")
    if packed is not None:
        check_ratio(path, name, unpacked, packed)


def check_ratio(path: Path, name: str, unpacked: int, packed: int) -> None:
    """Refuse a decompression bomb.

    Raises:
        BenchError: the member expands too far.
    """
    if unpacked > SMALL and unpacked > MAX_RATIO * packed:
        raise BenchError(
            f"{path} would unpack to more than {MAX_RATIO} times its size at {name}: "
            "do not use this archive."
        )
