"""Commands print on any terminal and never end in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import bench as command
from tests.small import small_testset


def bench(folder: Path, *words: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {
        "PYTHONIOENCODING": encoding,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    line = [sys.executable, "-m", "bench", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_tables_are_printed_on_any_terminal(tmp_path: Path, encoding: str) -> None:
    small_testset(tmp_path)
    (tmp_path / "bench.toml").write_text('metrics = ["psnr", "ssim"]\n')
    done = bench(tmp_path, "run", "bicubic", "--testset", "tiny-16-x4", encoding=encoding)
    assert done.returncode == 0, done.stderr
    for form in ((), ("--markdown",), ("--latex",), ("--csv",), ("--json",), ("--intervals",)):
        done = bench(tmp_path, "report", "--testset", "tiny-16-x4", *form, encoding=encoding)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode(encoding)
        assert b"Traceback" not in done.stderr
    for words in (("--help",), ("methods",), ("plan", "bicubic", "--testset", "tiny-16-x4")):
        done = bench(tmp_path, *words, encoding=encoding)
        assert done.returncode == 0, done.stderr


def test_a_bug_is_a_sentence_without_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a kind\nthat nobody expected")

    monkeypatch.setattr("bench.api.workspace.open_workspace", broken)
    outcome = command("methods")
    assert outcome.code == 1
    assert outcome.err.startswith(
        "error: bench has a bug (ZeroDivisionError: of a kind that nobody expected). Run"
    )
