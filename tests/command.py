"""Run the command line in this process, and modules in a process of their own."""

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
    """A command's exit code and output streams."""

    code: int
    out: str
    err: str


def bench(*arguments: str | int | Path) -> Outcome:
    """Run one command line; raise any exception that does not become an exit code."""
    # Wide and plain, to keep messages on one line.
    environment = {"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": None}
    result = CliRunner().invoke(app, [str(a) for a in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def good(*arguments: str | int | Path) -> Outcome:
    """Run a command that must succeed."""
    outcome = bench(*arguments)
    assert outcome.code == 0, outcome
    return outcome


def program(*arguments: str) -> str:
    """Return the output of `python -m ARGUMENTS`, which must succeed."""
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
