"""The command line as tests call it: in this process, in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from bench.cli import app


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
