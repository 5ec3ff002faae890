"""Atomic files, their hashes, and seals: hashes stored inside the file that they protect."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, Refused

UNFINISHED = ".bench-"
"""Prefix of temporary file names."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success.

    On any error, including a kill, `path` stays unchanged. A temporary file left by a kill is
    removed by the next process that writes in the folder, such as the same command.

    Raises:
        BenchError: the folder or the file can't be written, or the disk is full.
    """
    try:
        with _told_of_full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path.parent)
            handle, temporary = _temporary(path.parent)
    except OSError as error:
        raise BenchError(f"{path.parent} can't be written: {error.strerror}.") from None
    try:
        with _told_of_full_disk(path):
            yield temporary
        temporary.chmod(0o644)  # mkstemp makes files that only their owner may read
        try:
            temporary.replace(path)
        except OSError as error:  # such as a folder of that name
            raise BenchError(f"{path} can't be written: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def _told_of_full_disk(path: Path) -> Iterator[None]:
    """Name the file in errors of a full disk; the system names none or a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BenchError(
                f"{path} can't be written: the disk is full. Free some space and run the same "
                "command to continue."
            ) from None
        raise


def _temporary(folder: Path) -> tuple[int, Path]:
    """Create a file that stays locked while its handle is open; return both."""
    while True:
        # Without the target's name, which may already have the maximum length.
        handle, name = tempfile.mkstemp(dir=folder, prefix=UNFINISHED, suffix=".part")
        with suppress(OSError):  # a file system without locks: remove nothing
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # taken for abandoned before it was locked


@contextmanager
def begun(folder: Path) -> Iterator[None]:
    """Create a folder for a block of work; refused input leaves nothing behind.

    If the block raises Refused, a newly created folder is removed with its contents. After any
    other BenchError, such as a network failure or a full disk, and after a kill, finished work
    stays, so that it can be resumed. A folder that existed before stays as the block leaves it.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BenchError as error:
        if absent and isinstance(error, Refused):
            shutil.rmtree(folder, ignore_errors=True)
        for path in absent:
            with suppress(OSError):  # something is in it, or it is gone
                path.rmdir()
        raise


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of killed processes in a folder, once per process."""
    for path in folder.glob(f"{UNFINISHED}*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by a writer that lives
            path.unlink(missing_ok=True)


def require_space(folder: Path, needed: int) -> None:
    """Check that a folder's disk has `needed` bytes free.

    Raises:
        BenchError: too little space.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BenchError(
            f"{folder} needs up to {needed / 2**20:,.0f} MiB of disk, but {free / 2**20:,.0f} MiB "
            "are free: free some space or use fewer images (--count)."
        )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_bytes(path, _json_bytes(value))


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON atomically, with a seal as its first entry."""
    write_bytes(path, sealed_json(value))


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """Return an object as indented JSON, with a seal as its first entry."""
    return seal(_json_bytes({SEAL: BLANK, **value}))


def _json_bytes(value: Any) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # A path that is no UTF-8 holds what can't be encoded; its escape in Python is JSON's too.
    return text.encode(errors="backslashreplace")


def read_json(path: Path, what: str) -> Any:
    """Read JSON.

    Raises:
        BenchError: no such file, or a damaged one; `what` says what it should have been.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"{path} is missing: it should hold {what}.") from None
    return parse_json(data, str(path), what)


def parse_json(data: bytes, where: str, what: str) -> Any:
    """Parse JSON; `where` names its place and `what` says what it should hold.

    Raises:
        BenchError: damaged data.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        why = error if isinstance(error, ValueError) else "nested too deeply"
        raise BenchError(f"{where} is damaged ({why}): it should hold {what}.") from None


class Journal:
    """Append-only records of finished work as JSON lines, from which a command resumes.

    Unlike other files, it grows in place; a last line cut off by a kill is ignored when reading.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return all complete records in order.

        Raises:
            BenchError: a line that ends is no record.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        try:
            records = [json.loads(line) for line in lines[:-1]]
            if not all(isinstance(record, dict) for record in records):
                raise ValueError("a line is not an object")
            return records
        except (ValueError, RecursionError) as error:
            raise BenchError(
                f"{self.path} is damaged ({error}): remove it to compute it again."
            ) from None

    def append(self, records: list[dict[str, Any]]) -> None:
        """Append records and sync them to disk.

        Raises:
            BenchError: the disk is full.
        """
        whole = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        if self._ends_torn():
            data = self.path.read_bytes()
            write_bytes(self.path, data[: data.rfind(b"\n") + 1])
        with _told_of_full_disk(self.path), self.path.open("ab") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())

    def _ends_torn(self) -> bool:
        """Return True if the last line is incomplete; reads one byte."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def remove(self) -> None:
        """Delete the journal; the work is recorded elsewhere."""
        self.path.unlink(missing_ok=True)


SEAL = "bench-seal"
"""JSON key of the hash of the file's own content."""

BLANK = "0" * 64
"""A seal's value before its file is sealed."""

# The few bytes between name and value are JSON's punctuation, or Parquet's type and length.
_SEALED = re.compile(rb"%b[^0-9a-f]{1,8}([0-9a-f]{64})" % SEAL.encode(), re.DOTALL)


def seal(data: bytes) -> bytes:
    """Replace the blank seal in the bytes by their hash.

    The hash is inside the file, not in a second one, so that both are replaced at once.
    """
    return _with_seal(data, sha256(data))


def seal_matches(data: bytes) -> bool | None:
    """Return True if the seal matches the bytes; None without a seal."""
    found = _SEALED.search(data)
    return found and found[1].decode() == sha256(_with_seal(data, BLANK))


def broken_seals(*paths: Path) -> list[str]:
    """Return a line for each file that has changed since it was sealed."""
    lines = []
    for path in paths:
        sealed = seal_matches(path.read_bytes())
        if sealed is None:
            lines.append(f"{path} has no seal: it has changed, or an earlier version wrote it.")
        elif not sealed:
            lines.append(f"{path} has changed.")
    return lines


def _with_seal(data: bytes, value: str) -> bytes:
    place = _SEALED.search(data)
    assert place is not None
    return data[: place.start(1)] + value.encode() + data[place.end(1) :]


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_cached(path: Path) -> str:
    """Return a file's hash, cached by size and modification time."""
    status = path.stat()
    return _hash_once(path, status.st_ino, status.st_size, status.st_mtime_ns)


@cache
def _hash_once(path: Path, *_: int) -> str:
    return sha256_file(path)


def sha256_json(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON value, independent of key order."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
