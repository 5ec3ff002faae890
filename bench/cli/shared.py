"""What several commands need: the workspace, and the test set that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.config import Workspace
    from bench.testset.manifest import TestSet

TestsetOption = Annotated[
    str | None,
    typer.Option("--testset", help="Name of the test set; else bench.toml's, or the last one."),
]


def workspace() -> Workspace:
    """The workspace around the current folder."""
    from bench.config import open_workspace

    return open_workspace(Path.cwd())


def remember_testset(here: Workspace, testset: TestSet) -> None:
    """Make a test set the one that commands work on when none is named."""
    from bench.files import write_bytes

    write_bytes(_last(here), testset.name.encode())


def open_testset_named(here: Workspace, name: str | None) -> TestSet:
    """The test set of this name, else bench.toml's, else the last one prepared, verified.

    Raises:
        BenchError: there is none, or it is not what was prepared.
    """
    from bench.testset.manifest import open_testset

    why = ""
    if name is None and here.config.testset is not None:
        name, why = here.config.testset, f" ({here.config_file})"
    if name is None and _last(here).is_file():
        name, why = _last(here).read_text().strip(), " (the last one prepared)"
    there = _prepared(here)
    if name is None:
        raise BenchError("No test set is prepared: start with `bench prepare sample --scale 8`.")
    if name not in there:
        known = f"prepared are {', '.join(there)}" if there else "none is prepared"
        raise BenchError(f"There is no test set {name!r}: {known}; `bench prepare` makes one.")
    if why:
        typer.echo(f"Test set: {name}{why}", err=True)
    return open_testset(here.testsets / name)


def _prepared(here: Workspace) -> list[str]:
    return sorted(path.parent.name for path in here.testsets.glob("*/manifest.json"))


def _last(here: Workspace) -> Path:
    return here.testsets / ".last"
