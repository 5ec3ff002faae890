"""Kernel file locks, which end with their process.

A kill leaves nothing to clean up. Locks are advisory: readers take none, since files are replaced
atomically.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.core.errors import BenchError

Say = Callable[[str], None]
"""Receives a sentence: on the lock's holder before a wait, which an exception ends, or a warning
that the file system has no locks."""

_HELD = Path("/proc/locks")


@contextmanager
def locked(folder: Path, say: Say) -> Iterator[None]:
    """Lock a folder for this process; if another holds it, name it and wait.

    An absent folder is created, and removed again at the end if it is empty then.

    Raises:
        BenchError: the folder can't be created or opened.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    handle = _open_locked(folder, say)
    try:
        yield
    finally:
        for path in absent:
            with suppress(OSError):  # something is in it, or it is gone
                path.rmdir()
        os.close(handle)


def _open_locked(folder: Path, say: Say) -> int:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)  # not inherited by child processes
        except OSError as error:
            raise BenchError(f"{folder} can't be used: {error.strerror}.") from None
        try:
            hold(handle, folder, say)
            # The holder may have removed the file; a lock on a removed file protects nothing.
            if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def hold(handle: int, path: Path, say: Say) -> None:
    """Lock an open file or folder until it is closed, waiting for other processes.

    On a file system without locks, such as some network file systems, warn and continue.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = f"Process {holder}" if (holder := _holder(handle)) else "Another process"
        say(f"{who} is working in {path}: waiting for it to finish.")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        say(f"{path} cannot be locked ({error.strerror}): run no other process there.")


def _holder(handle: int) -> int | None:
    """Return the process that holds this lock; None if unknown."""
    with suppress(OSError):
        file = os.fstat(handle)
        place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in _HELD.read_text().splitlines():
            # "1: FLOCK ADVISORY WRITE 2598 fe:00:2565006 0 EOF"; who waits has "->" behind "1:".
            fields = line.split()
            if fields[1:2] == ["FLOCK"] and fields[5] == place:
                return int(fields[4]) if int(fields[4]) > 0 else None
    return None
