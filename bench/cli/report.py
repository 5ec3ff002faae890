"""Command that prints tables: report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from bench.cli.page import save_page
from bench.cli.reference import ReferenceOption
from bench.cli.shared import TestsetOption, echo, flag, open_testset_named, say, workspace
from bench.cli.suite import MetricOption, PresetOption, named_metrics
from bench.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.config import Workspace
    from bench.report.tables.table import Table
    from bench.store.reading import Reading
    from bench.testsets.manifest import TestSet

Shown = Literal["strict", "paper", "daps", "pnp-dm"]
"""Protocol of a table's values."""

ShownOption = Annotated[Shown, typer.Option("--protocol", help="Measurement protocol.")]

Format = Literal["latex", "csv", "markdown", "json"]

OFF = 3  # the exit code of --check


def report(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods (default: all).")] = None,
    testset_name: TestsetOption = None,
    number: Annotated[
        int | None, typer.Option("--table", help="Number of the paper's table, 1 to 4.")
    ] = None,
    latex: Annotated[bool, flag("--latex", "Print a LaTeX booktabs table.")] = False,
    csv: Annotated[bool, flag("--csv", "Print CSV.")] = False,
    markdown: Annotated[bool, flag("--markdown", "Print a Markdown table.")] = False,
    json: Annotated[bool, flag("--json", "Print JSON with full precision.")] = False,
    strip: Annotated[
        Path | None, typer.Option(help="Also save a PNG strip of faces from LR to HR.")
    ] = None,
    faces: Annotated[int, typer.Option(help="Number of faces in the strip.", min=1)] = 6,
    protocol: ShownOption = "strict",
    names: MetricOption = None,
    preset: PresetOption = None,
    reference: ReferenceOption = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups",
            help=(
                "CSV file with columns image and group: print values per group "
                "and the gaps between groups."
            ),
        ),
    ] = None,
    costs: Annotated[
        bool, flag("--costs", "Add columns for seconds, NFE and peak memory.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Also write an HTML page into this folder (of all test sets unless one is named)."
        ),
    ] = None,
    show: Annotated[
        bool, flag("--open", "Open the page in a browser (default folder: results/page).")
    ] = False,
    intervals: Annotated[bool, flag("--intervals", "Show 95% confidence intervals.")] = False,
    beside: Annotated[
        bool, flag("--beside", "Show published values, differences and verdicts.")
    ] = False,
    check: Annotated[
        bool, flag("--check", "Exit with 3 if a comparable value has the verdict off.")
    ] = False,
) -> None:
    """Print the results of a test set as a table.

    Best, second best and ties are marked; a missing value is shown as a dash with the reason.
    """
    here = workspace()
    names = named_metrics(names, preset)
    flags = dict(zip(get_args(Format), (latex, csv, markdown, json), strict=True))
    chosen = [kind for kind, wanted in flags.items() if wanted]
    if len(chosen) > 1:
        raise WrongUsage(f"--{chosen[0]} and --{chosen[1]} exclude each other: choose one.")
    from bench.api.results import chosen_metrics, collected, columns_of
    from bench.report.tables.runs import find_runs

    testset = None
    runs: list[Reading] = []
    if number is None:
        testset = open_testset_named(here, testset_name)
        columns = columns_of(here, testset, chosen_metrics(here, names), protocol, reference)
        runs = find_runs(testset, here.results, methods or (), here.config.methods)
        tables = [collected(testset, runs, columns, protocol, costs)]
        if groups:
            from bench.report.tables.groups import group_tables, read_groups

            tables += group_tables(tables[0], read_groups(groups, list(testset.entries)))
    elif methods or names or costs or strip or groups:
        raise WrongUsage(
            "--table defines its own methods and metrics: remove yours, --strip and --groups."
        )
    else:
        tables = _paper_tables(here, testset_name, number, protocol, reference)
    many = number is not None or groups is not None
    print_tables(tables if many else tables[0], chosen[0] if chosen else None, intervals, beside)
    if strip and testset:
        _save_strip(testset, runs, strip, faces)
    if html or show:
        metrics = chosen_metrics(here, names)
        folder = html or here.results / "page"
        save_page(here, testset_name, testset, methods or (), metrics, folder, show, reference)
    if check:
        _check(tables)


def _paper_tables(
    here: Workspace, testset_name: str | None, number: int, protocol: Shown, reference: str | None
) -> list[Table]:
    """Return a table of the paper for the named test set, or for all that it covers."""
    from bench.api.results import chosen_metrics, columns_of
    from bench.api.testsets import prepared_testsets
    from bench.core.paths import resource
    from bench.report.published.tables import read_published
    from bench.report.tables import paper
    from bench.testsets.manifest import read_manifest

    printed = paper.find_printed(read_published(resource("results/published")), number)
    metrics = chosen_metrics(here, [metric.measure for metric in printed.metrics.values()])
    plans = {name: read_manifest(here.testsets / name).plan for name in prepared_testsets(here)}
    tables = []
    for name in [testset_name] if testset_name else paper.choose_testsets(printed, plans):
        testset = open_testset_named(here, name)
        columns = columns_of(here, testset, metrics, protocol, reference)
        tables.append(paper.paper_table(printed, testset, here.results, columns, protocol))
    return tables


def _save_strip(testset: TestSet, runs: Sequence[Reading], file: Path, faces: int) -> None:
    from bench.core.files import write_bytes
    from bench.images import encode_png
    from bench.report.tables.collect import strip_of

    write_bytes(file, encode_png(strip_of(testset, runs, faces)))
    say(f"Saved {file}", err=True)


def print_tables(
    tables: Table | Sequence[Table], kind: Format | None, intervals: bool, beside: bool
) -> None:
    """Print tables in a format (default: for the terminal)."""
    from rich.console import Console

    from bench.report.renderers import latex, plain, terminal
    from bench.report.tables.table import Table

    if kind in {"csv", "json"}:
        write = plain.to_csv if kind == "csv" else plain.to_json
        echo(write(tables), nl=False)
        return
    console = Console()
    for i, table in enumerate([tables] if isinstance(tables, Table) else tables):
        if i:
            echo()
        if kind is None:
            styled = console.is_terminal
            drawn = terminal.to_terminal(table, intervals=intervals, beside=beside, styled=styled)
            console.print(drawn, soft_wrap=True)
        else:
            render = latex.to_latex if kind == "latex" else plain.to_markdown
            echo(render(table, intervals=intervals, beside=beside), nl=False)


def _check(tables: Sequence[Table]) -> None:
    """Print comparable values that differ from the published ones.

    Raises:
        typer.Exit: at least one differs.
    """
    from bench.report.tables.beside import claims

    found = list(claims(tables))
    off = [claim for claim in found if claim.off]
    for claim in off:
        echo(str(claim), err=True)
    say(f"{len(found)} values are comparable with published ones, {len(off)} off.", err=True)
    if off:
        raise typer.Exit(OFF)
