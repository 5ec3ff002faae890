"""What `bench report` does for its page: find what it shows, write it, open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.shared import prepared, testset_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.config import Workspace
    from bench.metrics import Measure
    from bench.report.page import Section
    from bench.testset.manifest import TestSet


def save_page(
    here: Workspace,
    folder: Path,
    testsets: Sequence[TestSet],
    methods: Sequence[str],
    metrics: Sequence[Measure],
) -> Path:
    """Write the page of the results on these test sets, and say where it is."""
    from bench.report.page import write_page

    sections = [_section(here, testset, methods, metrics) for testset in testsets]
    index = write_page(folder, sections)
    typer.echo(f"The page: {index}", err=True)
    return index


def testsets_shown(
    here: Workspace, named: TestSet, alone: bool, methods: Sequence[str]
) -> list[TestSet]:
    """The test set that is named, and unless it is shown `alone`, all others with results.

    Raises:
        BenchError: one of them is not what was prepared.
    """
    from bench.store import list_runs
    from bench.testset.manifest import open_testset

    if alone:
        return [named]
    others = []
    for name in prepared(here):
        there = {run.spec.method for run in list_runs(here.results, name)}
        if name != named.name and there and there.issuperset(methods):
            others.append(open_testset(testset_folder(here, name)))
    return [named, *others]


def _section(
    here: Workspace, testset: TestSet, methods: Sequence[str], metrics: Sequence[Measure]
) -> Section:
    """A test set with its runs, and its tables by every protocol by which any was measured."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report.collect import find_runs, table_of
    from bench.report.page import Section

    runs = find_runs(testset, here.results, methods, here.config.methods)
    tables = [
        table_of(testset, runs, as_measured(metrics, testset, [protocol]), protocol.name, True)
        for protocol in protocols("both", testset.manifest.plan.recipe)
    ]
    names = {metric.name for metric in metrics}
    measured = [
        table
        for table in tables
        if any(names & (row.scores.keys() | row.whole.keys()) for row in table.rows)
    ]
    return Section(testset, [[run] for run in runs], measured or tables[:1])
