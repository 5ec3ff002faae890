"""The command `report`: tables of results, of one's own choice or of the paper, and strips."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.page import save_page
from bench.cli.shared import TestsetOption, open_testset_named, prepared, say, workspace
from bench.cli.suite import MetricOption, chosen_metrics
from bench.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.config import Workspace
    from bench.report import Table

OFF = 3  # the exit code of --check


class Shown(StrEnum):
    """By which protocol a table's values were measured."""

    STRICT = "strict"
    PAPER = "paper"


class Format(StrEnum):
    """How a table is printed."""

    LATEX = "latex"
    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


def report(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; else all.")] = None,
    on: TestsetOption = None,
    number: Annotated[
        int | None, typer.Option("--table", help="A table of the paper by its number, 1 to 4.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Every number at full precision.")] = False,
    strip: Annotated[
        Path | None, typer.Option(help="Also save a strip of faces, LR to GT, as PNG.")
    ] = None,
    faces: Annotated[int, typer.Option(help="Faces in the strip.", min=1)] = 6,
    protocol: Annotated[Shown, typer.Option(help="By which it was measured.")] = Shown.STRICT,
    names: MetricOption = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Add seconds, network calls and peak memory.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write a page, a folder; of every test set where none is named."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open that page; without --html it is results/page.")
    ] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show 95 % intervals.")] = False,
    beside: Annotated[
        bool, typer.Option("--beside", help="Show published values, differences and verdicts.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit with 3 when a value comparable with a published one is off."
        ),
    ] = False,
) -> None:
    """Print the table of a test set's results, with best, second best and ties marked."""
    here = workspace()
    flags = dict(zip(Format, (latex, csv, markdown, json), strict=True))
    chosen = [kind for kind, wanted in flags.items() if wanted]
    if len(chosen) > 1:
        raise WrongUsage(f"--{chosen[0]} and --{chosen[1]} exclude each other: choose one.")
    if number is None:
        tables = [own_table(here, on, methods or (), names, protocol, costs)]
    elif methods or names or costs or strip:
        raise WrongUsage("--table has methods and metrics of its own: leave yours and --strip out.")
    else:
        tables = _paper_tables(here, on, number, protocol)
    many = number is not None
    _print(tables if many else tables[0], chosen[0] if chosen else None, intervals, beside)
    if strip:
        _save_strip(here, on, methods or (), strip, faces)
    if html or show:
        metrics = chosen_metrics(here, names)
        save_page(here, on, methods or (), metrics, html or here.results / "page", show)
    if check:
        _check(tables)


def own_table(
    here: Workspace,
    on: str | None,
    methods: Sequence[str],
    names: Sequence[str] | None,
    protocol: Shown,
    costs: bool,
) -> Table:
    """The runs of these methods, or all, by these metrics, or those of bench.toml."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report import collect, read_published
    from bench.report.beside import with_published
    from bench.report.runs import find_runs, repeated
    from bench.resources import resource

    metrics = chosen_metrics(here, names)
    testset = open_testset_named(here, on)
    runs = find_runs(testset, here.results, methods, here.config.methods)
    columns = as_measured(metrics, testset, protocols(protocol, testset.manifest.plan.recipe))
    table = collect.table_of(testset, runs, columns, protocol, costs)
    first = [group[0] for group in repeated(runs)]
    return with_published(
        table, testset, first, read_published(resource("results/published")).tables
    )


def _paper_tables(here: Workspace, on: str | None, number: int, protocol: Shown) -> list[Table]:
    """A table of the paper on the test set named, or on all that it has values for."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report import paper, read_published
    from bench.resources import resource
    from bench.testset.manifest import read_manifest

    printed = paper.find_printed(read_published(resource("results/published")), number)
    metrics = chosen_metrics(here, [metric.measure for metric in printed.metrics.values()])
    plans = {name: read_manifest(here.testsets / name).plan for name in prepared(here)}
    tables = []
    for name in [on] if on else paper.choose_testsets(printed, plans):
        testset = open_testset_named(here, name)
        columns = as_measured(metrics, testset, protocols(protocol, testset.manifest.plan.recipe))
        tables.append(paper.paper_table(printed, testset, here.results, columns, protocol))
    return tables


def _save_strip(
    here: Workspace, on: str | None, methods: Sequence[str], file: Path, faces: int
) -> None:
    from bench.files import write_bytes
    from bench.images import encode_png
    from bench.report import collect
    from bench.report.runs import find_runs

    testset = open_testset_named(here, on)
    runs = find_runs(testset, here.results, methods, here.config.methods)
    write_bytes(file, encode_png(collect.strip_of(testset, runs, faces)))
    say(f"Saved {file}", err=True)


def _print(
    tables: Table | Sequence[Table], kind: Format | None, intervals: bool, beside: bool
) -> None:
    from rich.console import Console

    from bench import report
    from bench.report.table import Table

    if kind is Format.CSV or kind is Format.JSON:
        write = report.to_csv if kind is Format.CSV else report.to_json
        typer.echo(write(tables), nl=False)
        return
    console = Console()
    for i, table in enumerate([tables] if isinstance(tables, Table) else tables):
        if i:
            typer.echo()
        if kind is None:
            styled = console.is_terminal
            drawn = report.to_terminal(table, intervals=intervals, beside=beside, styled=styled)
            console.print(drawn, soft_wrap=True)
        else:
            render = report.to_latex if kind is Format.LATEX else report.to_markdown
            typer.echo(render(table, intervals=intervals, beside=beside), nl=False)


def _check(tables: Sequence[Table]) -> None:
    """Name the values that are comparable with a published one and off.

    Raises:
        typer.Exit: there is one.
    """
    from bench.report.check import claims

    found = list(claims(tables))
    off = [claim for claim in found if claim.off]
    for claim in off:
        typer.echo(str(claim), err=True)
    say(f"{len(found)} values are comparable with published ones, {len(off)} off.", err=True)
    if off:
        raise typer.Exit(OFF)
