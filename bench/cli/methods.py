"""Commands for methods: list, create, check, calibrate, import, set up."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import ChangesOption, changed_settings
from bench.cli.shared import TestsetOption, echo, flag, open_testset_named, say, workspace
from bench.core.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from rich.console import Console

    from bench.core.config import Workspace
    from bench.engine.availability import Overview

Resize = Literal["lanczos", "bicubic", "area"]

NewName = Annotated[
    str, typer.Argument(help="Name of the method: lowercase letters, digits and hyphens.")
]


def methods(
    testset_name: TestsetOption = None,
    as_json: Annotated[bool, flag("--json", "Print JSON.")] = False,
) -> None:
    """List methods and whether they can run.

    Columns are type, requirements, licence, paper and availability.
    """
    from bench.engine.availability import all_methods

    here = workspace()
    size, scale = _size_and_scale(here, testset_name)
    config = here.config
    found = all_methods(size, scale, config.settings, config.weights, here.results)
    if as_json:
        rows = [{**asdict(method), "runs": method.runs} for method in found]
        facts = {"size": size, "scale": scale, "methods": rows}
        echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(found, size, scale)


def _size_and_scale(here: Workspace, name: str | None) -> tuple[int, int]:
    """Return size and scale of the chosen test set, or the defaults if none is prepared.

    Raises:
        BenchError: the named test set does not exist, or its manifest is invalid.
    """
    from bench.api.testsets import last_prepared, prepared_testsets, testset_folder
    from bench.testsets.manifest import read_manifest

    name = name or here.config.testset
    if name is None and (name := last_prepared(here)) not in prepared_testsets(here):
        return here.config.size or 256, 8
    plan = read_manifest(testset_folder(here, name)).plan
    return plan.size, plan.scale


def _print(methods: list[Overview], size: int, scale: int) -> None:
    """Print the table, then the texts that do not fit into columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bench.report.renderers.escape import one_line

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"Methods at {size} px, x{scale}"
    for heading in ("Method", "Type", "Needs", "Licence", "Runs"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"Method", "Type", "Runs"})
    for method in methods:
        facts = (method.type, ", ".join(method.needs), method.licence)
        runs = "yes" if method.runs else "no"
        cells = (method.name, *facts, runs)
        table.add_row(*(Text(one_line(cell) or "-") for cell in cells))
    console.print(table)
    reasons = {method.name: method.reason for method in methods}
    papers = {method.name: method.paper for method in methods}
    for heading, texts in (("Methods that do not run, and why", reasons), ("Papers", papers)):
        if any(texts.values()):
            console.print(f"\n{heading}", style="bold")
            _print_texts(console, texts)


def _print_texts(console: Console, texts: dict[str, str]) -> None:
    """Print texts with their names, identical ones once; one line each if piped."""
    from rich.table import Table
    from rich.text import Text

    from bench.report.renderers.escape import one_line

    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        if text:
            names.setdefault(text, []).append(name)
    if not console.is_terminal:
        for text, of in names.items():
            say(f"  {', '.join(of)}: {one_line(text)}")
        return
    grid = Table.grid(padding=(0, 0, 0, 2))
    grid.add_column(max_width=14, overflow="fold")
    grid.add_column(overflow="fold")
    for text, of in names.items():
        grid.add_row(*(Text(one_line(part)) for part in (", ".join(of), text)))
    console.print(grid)


def new_method(name: NewName) -> None:
    """Create a working method file in the workspace's baselines/."""
    from bench.methods.authoring.template import write_method_file as write

    file = write(name, workspace().baselines)
    say(f"Wrote {file}")
    say(f"`bench run {name}` runs it, `bench check-method {name}` tests it.")


def check_method(
    name: Annotated[str, typer.Argument(help="Method.")],
    size: Annotated[int, typer.Option(help="Size of the results in pixels.", min=2)] = 32,
    scale: Annotated[int, typer.Option(help="Downscaling factor of the input.", min=1)] = 4,
) -> None:
    """Run the conformance tests on a method, with small images."""
    from bench.methods import find_method
    from bench.methods.authoring.conformance import check_method as check

    workspace()
    if size % scale:
        raise WrongUsage(f"Scale {scale} does not divide {size} px: choose one that does.")
    if broken := check(find_method(name), size, scale):
        for sentence in broken:
            say(sentence)
        raise BenchError(f"{name} fails {len(broken)} conformance tests.")
    say(f"{name} passes all conformance tests.")


def oracle(
    name: Annotated[str, typer.Argument(help="Method with a prior and, optionally, a Corrector.")],
    changes: ChangesOption = None,
    check: Annotated[
        bool, flag("--check", "Exit with 1 unless the method samples the posterior.")
    ] = False,
) -> None:
    """Calibrate a sampler on an exactly known posterior.

    Restore Gaussian images and print five ratios to an exact posterior sampler: closeness of the
    sample mean to the posterior mean, variance, coverage of 90% intervals, error of one sample,
    and measurement consistency. All are 1 for an exact sampler; methods that do not target the
    posterior deviate.
    """
    from bench.methods import configure
    from bench.methods.authoring.calibration import SCALE, SIZE, calibrate

    workspace()
    settings = changed_settings(changes or [])
    found = calibrate(configure(name, SCALE, SIZE, settings))
    for label, value in asdict(found).items():
        say(f"{label:12} {value:.3f}")
    departures = found.departures
    verdict = "not a sampler of the posterior" if departures else "a sampler of the posterior"
    say(f"{name} is {verdict}{': ' if departures else ''}{'; '.join(departures)}.")
    if check and departures:
        raise BenchError(
            f"{name} deviates from an exact sampler in {len(departures)} of 5 numbers."
        )


def import_results(
    name: NewName,
    folder: Annotated[
        Path, typer.Argument(help="Folder of results, with the file names of the test set.")
    ],
    testset_name: TestsetOption = None,
    title: Annotated[str | None, typer.Option(help="Title in tables (default: the name).")] = None,
    partial: Annotated[bool, flag("--partial", "Accept missing images.")] = False,
    pattern: Annotated[
        str, typer.Option(help="Pattern of the file names, such as 'restored_faces/{image}_00'.")
    ] = "{image}",
    resize: Annotated[
        Resize | None,
        typer.Option(help="Filter that resizes results of another size, such as 512 px."),
    ] = None,
    ignore_extra: Annotated[
        bool, flag("--ignore-extra", "Ignore files that match no image.")
    ] = False,
) -> None:
    """Import results made elsewhere as a run. All images are imported, or none."""
    from bench.engine.import_results import Import, import_pictures

    here = workspace()
    testset = open_testset_named(here, testset_name)
    how = Import(pattern, resize, partial, ignore_extra)
    done = import_pictures(name, title or name, folder, testset, here.results, how)
    there = len(done.run.records())
    what = f"{done.restored} images imported" if done.restored else "was imported already"
    say(f"{name}: {what}, {there} of {len(testset.entries)} present, in {done.run.folder}")
    say("`bench evaluate` scores them, `bench report` prints the table.")


def external_setup(
    name: Annotated[str, typer.Argument(help="Method described by a .toml file in baselines/.")],
) -> None:
    """Install a program at its commit into its own environment."""
    from bench.methods import find_program
    from bench.methods.external.installation import Installation

    workspace()
    installation = Installation(find_program(name))
    installation.set_up(say=say)
    try:
        installation.fingerprint()
    except BenchError as error:  # the weights, which are not fetched
        say(str(error))
    else:
        say(f"{name} is ready, in {installation.folder}")
