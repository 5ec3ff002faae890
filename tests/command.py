"""The command line as tests call it, in this process, and programs of ours in one of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from bench.cli import app

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and both of its streams."""

    code: int
    out: str
    err: str


def bench(*arguments: str | int | Path) -> Outcome:
    """Run one command line; an exception that is not turned into an exit code is raised."""
    # Wide and plain, so that messages are not wrapped.
    environment = {"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": None}
    result = CliRunner().invoke(app, [str(a) for a in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def good(*arguments: str | int | Path) -> Outcome:
    """`bench` of a command that must succeed."""
    outcome = bench(*arguments)
    assert outcome.code == 0, outcome
    return outcome


def program(*arguments: str) -> str:
    """What `python -m` of these says, which must succeed, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
