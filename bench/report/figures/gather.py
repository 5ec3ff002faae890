"""Collect results for figures; a run and its repetitions are one point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.errors import WrongUsage
from bench.images import read_image
from bench.metrics.base import Measure
from bench.report.figures.points import Point
from bench.report.figures.tradeoff import SweptRun
from bench.report.tables.collect import COSTS, table_of
from bench.report.tables.runs import first_repetitions
from bench.report.tables.table import NOT_MEASURED, Column, grouped

if TYPE_CHECKING:
    from bench.store.reading import Reading
    from bench.testsets.manifest import TestSet


@dataclass(frozen=True)
class MeasuredRun:
    """A run with its repetitions.

    `run` is the first repetition. `values` is column -> value as in a table, `reasons` column ->
    reason for a missing value, and `scores` metric -> image -> mean over the repetitions.
    """

    label: str
    run: Reading
    values: Mapping[str, float]
    reasons: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]


def results_of(
    testset: TestSet, runs: Sequence[Reading], metrics: Sequence[Measure], protocol: str
) -> tuple[list[MeasuredRun], dict[str, Column]]:
    """Return the results of runs, and the columns by name: metrics and costs."""
    table = table_of(testset, runs, metrics, protocol, costs=True)
    results = []
    for run, row, line in zip(first_repetitions(runs), table.rows, table.cells, strict=True):
        named = dict(zip((column.name for column in table.columns), line, strict=True))
        values = {name: cell.value for name, cell in named.items() if cell.value is not None}
        reasons = {name: cell.reason for name, cell in named.items() if cell.value is None}
        results.append(MeasuredRun(row.title, run, values, reasons, row.scores))
    return results, {column.name: column for column in table.columns}


def between(
    results: Sequence[MeasuredRun], x: str, y: str, *, positive: bool = False
) -> tuple[list[tuple[MeasuredRun, Point]], list[str]]:
    """Return results with their values in two columns, and sentences on those without.

    `positive` also leaves out results whose x is 0, which a logarithmic axis cannot show.
    """
    placed = []
    absent: dict[str, list[str]] = {}
    for result in results:
        lacking = [n for n in (x, y) if not math.isfinite(result.values.get(n, math.nan))]
        if lacking:
            absent.setdefault(_reason(result, lacking), []).append(result.label)
        elif positive and result.values[x] <= 0:
            absent.setdefault("A logarithmic axis has no 0.", []).append(result.label)
        else:
            placed.append((result, Point(result.label, result.values[x], result.values[y])))
    return placed, [f"Skipped: {'; '.join(of)}. {reason}" for reason, of in absent.items()]


def by_method(placed: Sequence[tuple[MeasuredRun, Point]]) -> dict[str, list[Point]]:
    """Group points by the title of their method."""
    return grouped((result.run.title, point) for result, point in placed)


def _reason(result: MeasuredRun, lacking: Sequence[str]) -> str:
    """Return why values are missing, with the command that computes them."""
    reason = result.reasons.get(lacking[0], "Its value is infinite.")
    costs = {column.name for column in COSTS}
    if reason != NOT_MEASURED or lacking[0] in costs:
        return reason
    options = " ".join(f"--metric {name}" for name in lacking if name not in costs)
    return f"{reason} Run `bench evaluate {options}`."


def pairs_of(results: Sequence[MeasuredRun], column: Column) -> list[tuple[float, float]]:
    """Return pairs of values for each image that both results have.

    Raises:
        WrongUsage: not exactly two results, or a metric of whole sets.
    """
    if len(results) != 2:
        there = "; ".join(f"{result.run.folder.name} is {result.label}" for result in results)
        raise WrongUsage(
            "Name exactly two runs: methods with one run each, or run folders. You named "
            f"{len(results)}: {there}."
        )
    if column.per != "image":
        raise WrongUsage(
            f"{column.title} is computed over the whole set: choose a per-image metric."
        )
    one, other = (result.scores.get(column.name, {}) for result in results)
    return [(one[image], other[image]) for image in one if image in other]


def swept_run(result: MeasuredRun, place: Point, image: str) -> SweptRun:
    """Return a result for a sweep's figure, with one of its images if present."""
    run = result.run
    picture = read_image(run.picture(image)) if image in run.records() else None
    variant = ", ".join(run.variants)
    return SweptRun(run.spec.settings, place.x, place.y, picture, variant)
