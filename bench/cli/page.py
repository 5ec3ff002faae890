"""HTML page of `bench report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.shared import say
from bench.core.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.config import Workspace
    from bench.metrics import Measure
    from bench.report.page import Section
    from bench.testsets.manifest import TestSet


def save_page(
    here: Workspace,
    testset_name: str | None,
    opened: TestSet | None,
    methods: Sequence[str],
    metrics: Sequence[Measure],
    folder: Path,
    show: bool,
    reference: str | None = None,
) -> None:
    """Write the HTML page and print its path; `show` opens it in a browser.

    The page covers the named test set or that of bench.toml, else all test sets with results. The
    test set `opened`, if given, is not hashed again.

    Raises:
        BenchError: no results, a test set has changed, or the folder cannot be written.
    """
    from bench.api.testsets import testset_folder
    from bench.report.page import write_page
    from bench.testsets.manifest import open_testset

    name = testset_name or here.config.testset
    names = [name] if name else _with_results(here, methods)
    testsets = [
        opened if opened and opened.name == name else open_testset(testset_folder(here, name))
        for name in names
    ]
    sections = [_section(here, testset, methods, metrics, reference) for testset in testsets]
    index = write_page(folder, sections)
    say(f"The page: {index}", err=True)
    if show:
        typer.launch(index.resolve().as_uri())


def _with_results(here: Workspace, methods: Sequence[str]) -> list[str]:
    """Return the test sets on which all given methods (default: any) have results.

    Raises:
        BenchError: no such test set.
    """
    from bench.api.testsets import prepared_testsets
    from bench.report.tables.runs import runs_called
    from bench.store.run import list_runs

    names = []
    for name in prepared_testsets(here):
        runs = list_runs(here.results, name)
        if runs and all(runs_called(method, runs) for method in methods):
            names.append(name)
    if not names:
        what = f" of {', '.join(methods)}" if methods else ""
        raise BenchError(f"No test set has results{what} for a page: `bench run` first.")
    return names


def _section(
    here: Workspace,
    testset: TestSet,
    methods: Sequence[str],
    metrics: Sequence[Measure],
    reference: str | None,
) -> Section:
    """Return a test set with its runs and one table per measured protocol."""
    from bench.api.results import collected, columns_of
    from bench.metrics.protocol import protocols
    from bench.report.page import Section
    from bench.report.tables.runs import find_runs, repeated

    runs = find_runs(testset, here.results, methods, here.config.methods)
    tables = []
    for protocol in protocols("both", testset.manifest.plan.recipe):
        columns = columns_of(here, testset, metrics, protocol.name, reference)
        tables.append(collected(testset, runs, columns, protocol.name, costs=True))
    names = {metric.name for metric in metrics}
    measured = [
        table
        for table in tables
        if any(names & (row.scores.keys() | row.whole.keys()) for row in table.rows)
    ]
    return Section(testset, repeated(runs), measured or tables[:1])
