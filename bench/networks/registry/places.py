"""Paths of public checkpoints in the cache folder."""

from pathlib import Path

from bench.core.errors import BenchError
from bench.core.paths import cache_folder
from bench.networks.registry.records import PublicCheckpoint, find_record


def place(record: PublicCheckpoint) -> Path:
    """Return the path of a record's file, which may not exist."""
    return cache_folder() / record.file


def remedy(record: PublicCheckpoint) -> str:
    """Return the command that gets the file."""
    if record.sources:
        return f"bench weights get {record.name}"
    return f"bench weights add {record.name} FILE"


def find_public(name: str) -> Path:
    """Return the cached file of a public checkpoint.

    Raises:
        WrongUsage: no such record.
        BenchError: the file is missing, with the command that gets it.
    """
    record = find_record(name)
    if (path := place(record)).is_file():
        return path
    where = "" if record.sources else f" download it from {record.by_hand} and"
    raise BenchError(f"{record.file} is missing:{where} run `{remedy(record)}`.")
