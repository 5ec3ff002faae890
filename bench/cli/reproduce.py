"""Command that reproduces published tables and figures: reproduce."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import ChangesOption, changed_settings
from bench.cli.report import print_tables
from bench.cli.shared import echo, flag, say, workspace
from bench.core.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from bench.reproduce.steps import Step


def reproduce(
    name: Annotated[
        str, typer.Argument(help="Suite: table1 to table4, figure4, figure7, or another.")
    ],
    embedded: Annotated[
        bool, flag("--embedded", "Reproduce it at 64 px with the embedded networks.")
    ] = False,
    dry_run: Annotated[
        bool, flag("--dry-run", "Only print the steps with their state and cost.")
    ] = False,
    count: Annotated[
        int | None, typer.Option(help="Images per test set (default: all).", min=1)
    ] = None,
    scale: Annotated[
        list[int] | None,
        typer.Option(help="Scale; may be repeated (default: all scales of the table)."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Images of the test sets as DIR or DATASET=DIR; may be repeated."),
    ] = None,
    training_images: Annotated[
        Path | None, typer.Option(help="Folder or zip of faces for training Correctors.")
    ] = None,
    training_steps: Annotated[
        int | None, typer.Option(help="Training steps (default: the paper's 100,000).", min=1)
    ] = None,
    changes: ChangesOption = None,
) -> None:
    """Reproduce a table or figure of a paper.

    The steps are weights, training, test sets, runs, metrics and the table.

    Finished steps are kept, so the same command resumes. Steps that need you, such as accepting a
    licence, are listed, and methods that depend on them are skipped until then.
    """
    from bench.reproduce.stages import reproduce as carry_out
    from bench.reproduce.stages import result_tables
    from bench.reproduce.steps import Options, Request
    from bench.reproduce.suite import find_suite

    options = Options(
        embedded=embedded,
        count=count,
        scales=tuple(scale or ()),
        sources=_sources(source or []),
        training=training_images,
        training_steps=training_steps,
        settings=changed_settings(changes or []),
        forecast=dry_run,
    )
    request = Request(name, find_suite(name), workspace(), options)
    say(f"{request.suite.title}{', reduced' if embedded else ''}")
    states: Counter[str] = Counter()
    for step in carry_out(request, dry_run):
        states[step.state] += 1
        _print(step, request.here.root)
    if not dry_run:
        for table in result_tables(request):
            echo()
            print_tables(table, None, intervals=False, beside=not embedded)
    summary = ", ".join(f"{number} {state}" for state, number in states.items())
    echo(f"{sum(states.values())} steps: {summary}.", err=True)
    open_steps = ", ".join(
        f"{states[state]} {words}"
        for state, words in (("failed", "steps failed"), ("missing", "need you"))
        if states[state]
    )
    if not dry_run and open_steps:
        raise BenchError(
            f"The table is not complete: {open_steps} (see above); then run the same command to "
            "continue."
        )


def _sources(given: list[str]) -> dict[str, str]:
    """Return recipe -> source; the key "" stands for every recipe.

    Raises:
        WrongUsage: a recipe has two sources.
    """
    sources: dict[str, str] = {}
    for text in given:
        recipe, equals, place = text.partition("=")
        key, value = (recipe, place) if equals and "/" not in recipe else ("", text)
        if key in sources:
            raise WrongUsage(f"--source {text} is a second source for {key or 'all'}: give one.")
        sources[key] = value
    return sources


def _print(step: Step, root: Path) -> None:
    """Print a step on one line, with paths relative to the workspace."""
    digest = f" {step.digest[:12]}" if step.digest else ""
    note = f"  {step.note}".replace(f"{root}{os.sep}", "") if step.note else ""
    say(f"  {step.state:8} {step.name}{digest}{note}")
