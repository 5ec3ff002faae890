"""Shared helpers of commands: output, workspace, test set."""

from __future__ import annotations

import sys
import tomllib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from bench.core.config import Workspace
    from bench.testsets.manifest import TestSet

TestsetOption = Annotated[
    str | None,
    typer.Option(
        "--testset", help="Test set (default: from bench.toml, else the last one prepared)."
    ),
]


def flag(name: str, meaning: str) -> Any:
    """Return an option that is on if given; typer would add a --no- form to one without a name."""
    return typer.Option(name, help=meaning)


def say(text: str, *, err: bool = False, fg: str | None = None) -> None:
    """Print a string that may contain foreign names, with control characters escaped."""
    from bench.report.renderers.escape import visible

    stream = sys.stderr if err else sys.stdout
    shown = visible(text)
    echo(typer.style(shown, fg=fg) if fg and stream.isatty() else shown, err=err)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a string in the terminal's encoding; typer.echo would force UTF-8."""
    print(text, end="\n" if nl else "", file=sys.stderr if err else sys.stdout, flush=True)


class ManyValues(TyperCommand):
    """A command whose `--scale` takes several numbers behind it, as in `--scale 4 8 16`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeated: list[str] = []
        for argument in args:
            # Every number gets its own --scale, so check the word before the last.
            if argument.isdigit() and repeated[-2:-1] == ["--scale"]:
                repeated.append("--scale")
            repeated.append(argument)
        return super().parse_args(ctx, repeated)


def value_of(text: str) -> Any:
    """Parse an option's value as TOML; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # such as a date that there is not, or [[[[ and so on
        return text


def workspace() -> Workspace:
    """Open the workspace of the current folder."""
    from bench.api.workspace import workspace as opened

    return opened()


def open_testset_named(here: Workspace, name: str | None) -> TestSet:
    """Open the named test set, else bench.toml's, else the last one prepared.

    Raises:
        BenchError: the test set does not exist, or a file has changed.
    """
    from bench.api.testsets import choose_testset, testset_folder
    from bench.testsets.manifest import open_testset

    chosen, origin = choose_testset(here, name)
    folder = testset_folder(here, chosen)
    if origin:
        say(f"Test set: {chosen} ({origin})", err=True)
    return open_testset(folder)
