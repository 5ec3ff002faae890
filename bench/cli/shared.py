"""What several commands need: the workspace, and the test set that is meant."""

from __future__ import annotations

import difflib
import tomllib
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


def say(text: str, *, err: bool = False, fg: str | None = None) -> None:
    """Print a text that may hold names from outside, none of which can steer the terminal."""
    from bench.report.escape import visible

    typer.secho(visible(text), err=err, fg=fg)


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


def value_of(text: str) -> Any:
    """What an option's value means: it is read as TOML, and a bare word is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # such as a date that there is not, or [[[[ and so on
        return text


def workspace() -> Workspace:
    """The workspace around the current folder; from now on its methods are found too."""
    from bench.config import open_workspace

    here = open_workspace(Path.cwd())
    _find_methods_in(here.baselines)
    return here


def _find_methods_in(folder: Path) -> None:
    """Make `baselines` extend over a folder beside the one that ships, and over no other."""
    import baselines

    shipped = Path(str(baselines.__file__)).parent
    own = folder.is_dir() and folder.resolve() != shipped.resolve()
    baselines.__path__[:] = [str(shipped), *([str(folder)] if own else [])]


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
    if name is None and (last := _remembered(here)):
        name, why = last, " (the last one prepared)"
    if name is None:
        raise BenchError("No test set is prepared: start with `bench prepare sample --scale 8`.")
    folder = testset_folder(here, name)
    if why:
        say(f"Test set: {name}{why}", err=True)
    return open_testset(folder)


def size_and_scale(here: Workspace, name: str | None) -> tuple[int, int]:
    """Of the test set named, else of that which commands work on, else of the first to be made.

    Raises:
        BenchError: the test set that is named is not there, or a manifest is wrong.
    """
    from bench.testset.manifest import read_manifest

    name = name or here.config.testset
    if name is None and (name := _remembered(here)) not in prepared(here):
        return here.config.size or 256, 8
    plan = read_manifest(testset_folder(here, name)).plan
    return plan.size, plan.scale


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


def _remembered(here: Workspace) -> str | None:
    """The name of the last test set prepared."""
    return _last(here).read_text(errors="replace").strip() if _last(here).is_file() else None


def _last(here: Workspace) -> Path:
    return here.testsets / ".last"
