"""Checkpoints of metrics, by their names in the registry."""

from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_cached
from bench.networks.registry.hashes import expected
from bench.networks.registry.records import find_public, find_record


def checkpoint_path(name: str) -> Path:
    """Return the path of the file, which may not exist."""
    return find_record(name).path


def checkpoint_sha256(name: str) -> str:
    """Return the hash of the file; "absent" if it is missing."""
    return file_sha256(checkpoint_path(name))


def file_sha256(path: Path) -> str:
    """Return the hash of a file, computed once; "absent" if it is missing."""
    return sha256_cached(path) if path.is_file() else "absent"


def checkpoint_missing(name: str) -> str | None:
    """Return why the file is missing, with the command that fixes it; None if it exists."""
    try:
        path = find_public(name)
    except BenchError as error:
        return str(error)
    record = find_record(name)
    if expected(record) in (None, checkpoint_sha256(name)):
        return None
    return f"{path} is damaged: remove it and run `{record.remedy}`."
