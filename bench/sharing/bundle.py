"""Deterministic archives with a manifest of hashes.

An archive is a plain tar, which any program can open. Its first file, manifest.json, is sealed and
lists the size and hash of all other files in order. All other metadata is constant (no time, owner,
link or compression), so equal files give equal archives. A reader takes only the length of the
manifest from a header: the manifest determines the offset of each file and the bytes around it. All
other metadata of a foreign archive is compared with these, never acted upon.
"""

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from bench.core.errors import BenchError, Refused
from bench.core.files import (
    SEAL,
    parse_json,
    replacing,
    seal_matches,
    sealed_json,
    sha256,
    sha256_file,
)
from bench.core.names import invalid_filename_reason, stays_below
from bench.core.progress import track
from bench.core.validation import read_back
from bench.images import MAX_BYTES

FORMAT = 1
MANIFEST = "manifest.json"

_END = bytes(2 * tarfile.BLOCKSIZE)
_PIECE = 2**20  # bytes read at a time


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """Manifest of an archive: its files in order."""

    format: int
    files: tuple[Member, ...]


@dataclass(frozen=True)
class Bundle:
    """An open archive."""

    path: Path
    contents: Contents
    start: int
    """Offset of the first file's header."""

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """Return the members by name."""
        return {member.name: member for member in self.contents.files}

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """Return the offset of each file; the empty name maps to the end."""
        places, position = {}, self.start
        for member in self.contents.files:
            places[member.name] = position + len(_header(member.name, member.size))
            position = places[member.name] + member.size + _padding(member.size)
        return {**places, "": position}

    def read(self, name: str) -> bytes:
        """Return the bytes of a file that the manifest names.

        Raises:
            Refused: the bytes have changed.
        """
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            data = file.read(self.members[name].size)
        if sha256(data) != self.members[name].sha256:
            raise Refused(f"{self.path}: {name} has changed since it was packed.")
        return data

    def differences(self) -> list[str]:
        """Return a line per file that has changed since packing."""
        size, wanted = self.path.stat().st_size, self._places[""] + len(_END)
        if size != wanted:
            what = "something is missing" if size < wanted else "something was added"
            return [f"{self.path} has {size} bytes, but its manifest states {wanted}: {what}."]
        with self.path.open("rb") as file:
            file.seek(self.start)
            members = track(self.contents.files, "verifying", len(self.contents.files))
            lines = [line for member in members for line in self._check(file, member)]
            if file.read() != _END:
                lines.append(f"{self.path}: its end has changed.")
        return lines

    def _check(self, file: IO[bytes], member: Member) -> list[str]:
        """Return the change in the file at an offset, header and padding included."""
        header = _header(member.name, member.size)
        around = file.read(len(header)) == header
        digest, left = hashlib.sha256(), member.size
        while left and (piece := file.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
        around &= not any(file.read(_padding(member.size)))
        lines = [] if around else [f"{self.path}: the bytes around {member.name} have changed."]
        if digest.hexdigest() != member.sha256:
            lines.append(f"{self.path}: {member.name} has changed.")
        return lines


def write_bundle(path: Path, files: Mapping[str, Path | bytes]) -> None:
    """Pack files under their archive names, in this order.

    Raises:
        BenchError: a file is too large or changes meanwhile, or the archive can't be written.
    """
    members = tuple(_described(name, source) for name, source in files.items())
    with replacing(path) as temporary, temporary.open("wb") as file:
        _put(file, MANIFEST, sealed_json(asdict(Contents(FORMAT, members))))
        for member, source in track(
            zip(members, files.values(), strict=True), "packing", len(files)
        ):
            data = source if isinstance(source, bytes) else source.read_bytes()
            if sha256(data) != member.sha256:
                raise BenchError(f"{source!s} changed while it was packed: export again.")
            _put(file, member.name, data)
        file.write(_END)


def open_bundle(path: Path) -> Bundle:
    """Open an archive and validate its manifest.

    Raises:
        BenchError: the file can't be read.
        Refused: not an archive of ours, a changed manifest, or an impossible name in it.
    """
    try:
        with path.open("rb") as file:
            first = file.read(tarfile.BLOCKSIZE)
            size = tarfile.TarInfo.frombuf(first, "utf-8", "strict").size
            ours = 0 <= size <= MAX_BYTES and first == _header(MANIFEST, size)
            data = file.read(size) if ours else b""
            padding = file.read(_padding(size)) if ours else b""
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}.") from None
    except (tarfile.TarError, ValueError):
        ours = False
    if not ours:
        raise Refused(
            f"{path} is not an archive written by `bench export`, or its header has changed."
        )
    if not seal_matches(data) or any(padding):
        raise Refused(f"{path}: {MANIFEST} has changed: download the archive again.")
    value = parse_json(data, f"{path}: {MANIFEST}", "what is in the archive")
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise Refused(
            f"{path} does not have format {FORMAT}: it was written by another version of bench."
        )
    value.pop(SEAL, None)
    contents = read_back(Contents, {"format": FORMAT, **value}, f"{path}: {MANIFEST}")
    _check_contents(path, contents)
    return Bundle(path, contents, tarfile.BLOCKSIZE + size + _padding(size))


def _check_contents(path: Path, contents: Contents) -> None:
    """Check that names are unique and stay inside the archive, and that sizes are plausible.

    Raises:
        Refused: a name or size is invalid.
    """
    names = set()
    for member in contents.files:
        reasons = ["points outside it"] if not stays_below(member.name) else []
        *folders, last = member.name.split("/")
        parts = (*folders, last.removesuffix(".png"))
        reasons += filter(None, map(invalid_filename_reason, parts))
        if reasons:
            what = f"{path} names {member.name!r}, which {reasons[0]}"
            raise Refused(f"{what}: do not use this archive.")
        if member.name in names or member.name == MANIFEST:
            raise Refused(f"{path} names {member.name} twice: do not use this archive.")
        if not 0 <= member.size <= MAX_BYTES:
            raise Refused(
                f"{path} names {member.name} of {member.size} bytes, which is impossible."
            )
        names.add(member.name)


def _described(name: str, source: Path | bytes) -> Member:
    if isinstance(source, bytes):
        size, digest = len(source), sha256(source)
    else:
        size, digest = source.stat().st_size, sha256_file(source)
    if size > MAX_BYTES:
        raise BenchError(
            f"{name} is larger than {MAX_BYTES // 2**20} MiB, which is too large for an archive."
        )
    return Member(name, size, digest)


def _put(file: IO[bytes], name: str, data: bytes) -> None:
    file.write(_header(name, len(data)))
    file.write(data)
    file.write(bytes(_padding(len(data))))


def _header(name: str, size: int) -> bytes:
    """Return the header of a file: one block, more for a long name."""
    info = tarfile.TarInfo(name)  # dated 1970, without owner, readable by all
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
