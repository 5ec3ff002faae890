"""What several commands need: the workspace, and the test set that is meant."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from bench.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from bench.config import Workspace
    from bench.testset.manifest import TestSet

TestsetOption = Annotated[
    str | None,
    typer.Option("--testset", help="Name of the test set; else bench.toml's, or the last one."),
]


class ManyValues(TyperCommand):
    """A command whose `--scale` takes several numbers behind it, as in `--scale 4 8 16`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeated: list[str] = []
        for argument in args:
            # Each number is given its own --scale, so the last but one tells what this follows.
            if argument.isdigit() and repeated[-2:-1] == ["--scale"]:
                repeated.append("--scale")
            repeated.append(argument)
        return super().parse_args(ctx, repeated)


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
    if name is None:
        raise BenchError("No test set is prepared: start with `bench prepare sample --scale 8`.")
    folder = testset_folder(here, name)
    if why:
        typer.echo(f"Test set: {name}{why}", err=True)
    return open_testset(folder)


def testset_folder(here: Workspace, name: str) -> Path:
    """The folder of a prepared test set.

    Raises:
        BenchError: there is none of this name, with the nearest one.
    """
    there = prepared(here)
    if name not in there:
        near = difflib.get_close_matches(name, there, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"prepared are {', '.join(there)}."
        hint = known if there else "none is prepared; `bench prepare` makes one."
        raise WrongUsage(f"There is no test set {name!r}: {hint}")
    return here.testsets / name


def prepared(here: Workspace) -> list[str]:
    """Names of the test sets that are prepared here."""
    return sorted(path.parent.name for path in here.testsets.glob("*/manifest.json"))


def _last(here: Workspace) -> Path:
    return here.testsets / ".last"
