"""Records of public checkpoints, read from records.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.core.config import read_toml
from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import cache_folder
from bench.core.suggest import look_up
from bench.core.validation import Positive, build

_FILE = Path(__file__).with_name("records.toml")


@dataclass(frozen=True)
class PublicCheckpoint:
    """A checkpoint published elsewhere and not shipped.

    Attributes:
        name: name in commands.
        title: description, and the methods that use it.
        file: file name in the cache folder, as published.
        licence: licence of the weights, in a few words.
        terms: URL of the licence.
        non_commercial: True if the user must accept the licence before the first download.
        sources: download URLs, tried in this order.
        by_hand: where to download it manually.
        trained_on: recipe of a test set -> known overlap with the training data.
        sha256: hexadecimal; None if not recorded.
        size: bytes; None if not recorded.
    """

    name: str
    title: str
    file: str
    licence: str
    terms: str = ""
    non_commercial: bool = False
    sources: tuple[str, ...] = ()
    by_hand: str = ""
    trained_on: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    size: Positive | None = None

    def __post_init__(self) -> None:
        where = f"the record {self.name!r}"
        if not re.fullmatch(r"[\w+-][\w.+-]*", self.file):
            raise WrongUsage(f"{where}: {self.file!r} is not a plain file name.")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise WrongUsage(f"{where}: sha256 must be 64 lowercase hexadecimal digits.")
        if not self.sources and not self.by_hand:
            raise WrongUsage(f"{where} has neither `sources` nor `by_hand`.")
        for source in self.sources:
            if not source.startswith(("https://", "http://") if self.sha256 else "https://"):
                raise WrongUsage(f"{where}: {source} must begin with https, or have a known hash.")

    @property
    def path(self) -> Path:
        """Path in the cache folder, which may not exist."""
        return cache_folder() / self.file

    @property
    def remedy(self) -> str:
        """Command that gets the file."""
        if self.sources:
            return f"bench weights get {self.name}"
        return f"bench weights add {self.name} FILE"


@cache
def records() -> Mapping[str, PublicCheckpoint]:
    """Return all records by name, in file order.

    Raises:
        WrongUsage: a record lacks something, or has something that can't be.
    """
    tables = read_toml(_FILE)
    made = {
        name: build(PublicCheckpoint, {"name": name, **table}, f"{_FILE}: {name}")
        for name, table in tables.items()
    }
    files = [record.file for record in made.values()]
    if twice := {file for file in files if files.count(file) > 1}:
        raise WrongUsage(f"{_FILE}: {', '.join(sorted(twice))} appears in two records.")
    return made


def find_record(name: str) -> PublicCheckpoint:
    """Return the record of this name.

    Raises:
        WrongUsage: no such record; the message suggests close names.
    """
    return look_up(name, records(), "Unknown weights", "`bench weights list` lists all.")


def find_public(name: str) -> Path:
    """Return the cached file of a public checkpoint.

    Raises:
        WrongUsage: no such record.
        BenchError: the file is missing, with the command that gets it.
    """
    record = find_record(name)
    if record.path.is_file():
        return record.path
    where = "" if record.sources else f" download it from {record.by_hand} and"
    raise BenchError(f"{record.file} is missing:{where} run `{record.remedy}`.")
