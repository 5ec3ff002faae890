"""Commands print on any terminal and never end in a traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import bench as command
from tests.small import small_testset

ON_TINY = ("--testset", "tiny-16-x4")
FORMS = ((), ("--markdown",), ("--latex",), ("--csv",), ("--json",), ("--intervals",))
COMMANDS = (
    ("run", "bicubic", *ON_TINY),
    *(("report", *ON_TINY, *form) for form in FORMS),
    ("--help",),
    ("methods",),
    ("plan", "bicubic", *ON_TINY),
)
ALL_IN_ONE_PROCESS = """
import sys
from bench.cli import app
for line in sys.stdin.read().splitlines():
    try:
        app(line.split())
    except SystemExit as end:
        print(f"--- {line}: {end.code or 0}")
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_tables_are_printed_on_any_terminal(tmp_path: Path, encoding: str) -> None:
    small_testset(tmp_path)
    (tmp_path / "bench.toml").write_text('metrics = ["psnr", "ssim"]\n')
    lines = "\n".join(" ".join(words) for words in COMMANDS)
    done = subprocess.run(
        [sys.executable, "-c", ALL_IN_ONE_PROCESS],
        input=lines.encode(),
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^--- (.*): (\d+)\r?$", done.stdout.decode(encoding), flags=re.MULTILINE)
    assert parts[1::3] == lines.splitlines()
    assert set(parts[2::3]) == {"0"}, done.stderr
    printed = dict(zip(parts[1::3], parts[0::3], strict=False))
    assert all(text.strip() for line, text in printed.items()), printed
    assert b"Traceback" not in done.stderr


def test_a_bug_is_a_sentence_without_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a kind\nthat nobody expected")

    monkeypatch.setattr("bench.api.workspace.open_workspace", broken)
    outcome = command("methods")
    assert outcome.code == 1
    assert outcome.err.startswith(
        "error: bench has a bug (ZeroDivisionError: of a kind that nobody expected). Run"
    )
