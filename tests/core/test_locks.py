"""Locks: who waits for whom, what is said of it, and that a kill leaves nothing held or behind."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.core import files
from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.core.locks import locked

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from pathlib import Path
from bench.core.locks import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""

WRITE = """
import sys, time
from pathlib import Path
from bench.core.files import replacing
with replacing(Path(sys.argv[1]) / "file") as temporary:
    temporary.write_bytes(b"half")
    print("held", flush=True)
    time.sleep(60)
"""


def never(sentence: str) -> None:
    pytest.fail(sentence)


@contextmanager
def elsewhere(program: str, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Another process that holds a lock in a folder until it is killed."""
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_lock_makes_others_wait_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    said: list[str] = []
    with elsewhere(HOLD, tmp_path) as holder:

        def say(sentence: str) -> None:
            said.append(sentence)
            holder.kill()

        with locked(tmp_path, say):
            assert said == [
                f"Process {holder.pid} is working in {tmp_path}: waiting for it to finish."
            ]
            handle = os.open(tmp_path, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(handle)
    with locked(tmp_path, never):
        pass


def test_who_does_not_want_to_wait_can_say_so(tmp_path: Path) -> None:
    def refuse(sentence: str) -> None:
        raise BenchError(sentence)

    with (
        elsewhere(HOLD, tmp_path),
        pytest.raises(BenchError, match="is working in"),
        locked(tmp_path, refuse),
    ):
        pass


def test_a_folder_made_to_be_locked_is_gone_where_nothing_was_written(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", never):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a" / "b", never):
        write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").is_file()


def test_a_lock_on_a_folder_that_its_holder_removed_is_taken_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with elsewhere(HOLD, folder) as holder:

        def remove(_: str) -> None:
            folder.rmdir()
            holder.kill()

        with locked(folder, remove):
            handle = os.open(folder, os.O_RDONLY)  # the one that others would find
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(handle)


def test_where_the_kernel_does_not_tell_the_holder_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.core.locks._HELD", tmp_path / "none")
    with elsewhere(HOLD, tmp_path) as holder:

        def say(sentence: str) -> None:
            assert (
                sentence == f"Another process is working in {tmp_path}: waiting for it to finish."
            )
            holder.kill()

        with locked(tmp_path, say):
            pass


def test_a_disk_without_locks_is_told_of_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")  # what a folder on NFS says

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    with locked(tmp_path, said.append):
        write_bytes(tmp_path / "file", b"new")
    assert said == [
        f"{tmp_path} cannot be locked (Bad file descriptor): run no other process there."
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_was_writing_goes_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    def unfinished() -> list[Path]:
        return list(tmp_path.glob(f"{files.UNFINISHED}*"))

    def write_as_another_process() -> None:
        files._remove_abandoned.cache_clear()
        write_bytes(tmp_path / "other", b"new")

    (tmp_path / ".net.pth.part").write_bytes(b"a download, which goes on")
    with elsewhere(WRITE, tmp_path):
        (being_written,) = unfinished()
        write_as_another_process()
        assert unfinished() == [being_written]
    assert unfinished() == [being_written]  # killed
    write_as_another_process()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".net.pth.part", "other"]
