"""Archives of results: truncated, edited, from another version, or no archive."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.files import sealed_json, write_bytes
from bench.sharing.bundle import Contents, Member
from tests.bad_input.case import Arrange, Refused
from tests.command import good

ARCHIVE = "odd.tar"


def exported(change: Callable[[bytes], bytes]) -> Arrange:
    """Export everything, then change the bytes."""

    def make(home: Path) -> None:
        good("export", "--out", home / ARCHIVE)
        write_bytes(home / ARCHIVE, change((home / ARCHIVE).read_bytes()))

    return make


def listing(*members: Member, **changes: Any) -> Arrange:
    """Make an archive with only a sealed list of files."""
    data = sealed_json({**asdict(Contents(1, members)), **changes})

    def make(home: Path) -> None:
        with tarfile.open(home / ARCHIVE, "w", format=tarfile.GNU_FORMAT) as archive:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    return make


def refused(make: Arrange, *says: str, command: str = f"verify {ARCHIVE}") -> Refused:
    return Refused(command, (ARCHIVE, *says), make)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """Change a byte of the first scores."""
    place = data.index(b"ARROW:schema", data.index(b"scores.parquet", 4096))
    return data[:place] + b"a" + data[place + 1 :]


TRUST = "do not use this archive"
CHANGED = ("1 files of odd.tar have changed or are missing",)
HASH = "0" * 64

REFUSED = {
    "a web page": refused(
        lambda home: write_bytes(home / ARCHIVE, b"<html>"),
        "is not an archive written by `bench export`",
    ),
    "no bytes": refused(lambda home: write_bytes(home / ARCHIVE, b""), "is not an archive"),
    "half an archive": refused(exported(half), *CHANGED),
    "an archive with something behind it": refused(exported(lambda data: data + b"x"), *CHANGED),
    "an archive with changed scores": refused(exported(flipped), *CHANGED),
    "an archive of another version": refused(listing(format=2), "by another version of bench"),
    "an archive that leads out": refused(listing(Member("../x", 1, HASH)), "points outside", TRUST),
    "an archive from the root": refused(listing(Member("/x", 1, HASH)), "points outside", TRUST),
    "an archive with a name twice": refused(
        listing(Member("x", 1, HASH), Member("x", 1, HASH)), "names x twice", TRUST
    ),
    "an archive of terabytes": refused(listing(Member("x", 2**50, HASH)), "which is impossible"),
    "compare: half an archive": refused(
        exported(half), "has changed since it was packed", command=f"compare {ARCHIVE} bicubic"
    ),
    "compare: an archive of nothing": refused(
        listing(),
        "holds no results",
        "`bench verify odd.tar`",
        command=f"compare {ARCHIVE} bicubic",
    ),
}
