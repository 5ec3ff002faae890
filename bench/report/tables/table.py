"""Tables of results and the arithmetic of cells. Pure: no rendering, no files."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

from bench.report.published.tables import PublishedValue
from bench.report.statistics import (
    SIGNIFICANT,
    Interval,
    Standing,
    standings,
    standings_by_error,
)
from bench.report.verdict import Departure, Verdict, judge

Key = TypeVar("Key")
Item = TypeVar("Item")

NOT_MEASURED = "It was not measured."
NOTHING_IN_COMMON = "No image has a value for every method."


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    `digits` is the number of printed decimals. `per` is what each value belongs to: an image, so
    that a cell is a mean, or the whole set or run, so that a cell is its single value.
    """

    name: str
    title: str
    higher_is_better: bool
    digits: int
    unit: str = ""
    per: Literal["image", "set", "run"] = "image"


@dataclass(frozen=True)
class Row:
    """One method on the test set.

    `scores` is metric name -> image id -> value; `whole` is metric name -> the value of the whole
    set or run, and `errors` that value's standard error. `missing` is metric name -> why there is
    no value, a sentence, and is read only for metrics without any; `undefined` is metric name ->
    image id -> why this image has none, in words. `images_done` is how many of the test set's
    images the method has restored.

    A method that was repeated is one row: values are means over `repetitions`, which holds the row
    of each, and is empty where there is one.

    `published` is metric name -> published value, `departures` metric name -> differences in how
    the two were measured. `origin` traces the row to the run's inputs, as JSON values.
    """

    name: str
    title: str
    scores: Mapping[str, Mapping[str, float]]
    images_done: int
    missing: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    published: Mapping[str, PublishedValue] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    repetitions: "tuple[Row, ...]" = ()
    departures: Mapping[str, tuple[Departure, ...]] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Methods by metrics on one test set of `images` images.

    `test_set` is its name for people, `scale` None where images have no common scale (real-world
    images), `notes` whole sentences to print under the table, `protocol` the name of the protocol.
    """

    test_set: str
    scale: int | None
    images: int
    seed: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    protocol: str = ""

    @cached_property
    def cells(self) -> "tuple[tuple[Cell, ...], ...]":
        """Return every cell [rows][columns], cached because intervals and tests are slow.

        A mean covers only images with a value in every row that has the metric, so that no method
        gains by skipping hard faces. Rows without the metric do not restrict the others.
        """
        columns = [column_cells(column, self.rows) for column in self.columns]
        return tuple(tuple(cells[i] for cells in columns) for i in range(len(self.rows)))


class Mark(Enum):
    """Rank of a cell in its column."""

    BEST = "best"
    SECOND = "second"
    NONE = ""


@dataclass(frozen=True)
class Cell:
    """A mean over `count` images, or a set's value.

    Where there is none (`value` None, `count` 0) `reason` says why.

    Attributes:
        tied: whether the data can't separate it from the best one of its column.
        interval: this and the next three compare it with the best one, see `Standing`.
        spread: standard deviation over `repetitions` repetitions, if there are at least two.
        published: value printed by a paper.
        difference: value minus the published value.
        verdict: agreement with the published value.
        departures: differences in how the two were measured.
    """

    value: float | None
    count: int
    mark: Mark = Mark.NONE
    reason: str = ""
    tied: bool = False
    interval: Interval | None = None
    gap: Interval | None = None
    p_value: float | None = None
    effect: float | None = None
    spread: float | None = None
    repetitions: int = 1
    published: PublishedValue | None = None
    difference: float | None = None
    verdict: Verdict | None = None
    departures: tuple[Departure, ...] = ()


def column_cells(column: Column, rows: Sequence[Row]) -> tuple[Cell, ...]:
    """Return the marked cells of one metric, one per row."""
    common = common_images(column.name, rows)
    bare = [_bare_cell(column, row, common) for row in rows]
    marks = marks_of([cell.value for cell in bare], column)
    standing = _standings(column, rows, bare, common)
    return tuple(
        _beside(
            replace(
                cell,
                mark=mark,
                tied=mark is not Mark.BEST and (known.p_value or 0) >= SIGNIFICANT,
                spread=_spread(column, row, common),
                repetitions=max(1, len(row.repetitions)),
                **vars(known),
            ),
            row,
            column.name,
        )
        for row, cell, mark, known in zip(rows, bare, marks, standing, strict=True)
    )


def _bare_cell(column: Column, row: Row, common: Sequence[str]) -> Cell:
    """Return the value, or why it is missing."""
    if column.per == "image":
        return _mean_cell(column.name, row, common)
    return _whole_cell(column.name, row)


def _standings(
    column: Column, rows: Sequence[Row], bare: Sequence[Cell], common: Sequence[str]
) -> list[Standing]:
    """Return the statistics of each row; None without a finite value and error."""
    metric = column.name
    found = [Standing()] * len(rows)
    finite = [
        i for i, cell in enumerate(bare) if cell.value is not None and math.isfinite(cell.value)
    ]
    if column.per == "image":
        known = finite
        scores = [[rows[i].scores[metric][image] for image in common] for i in known]
        made = standings(np.array(scores), column.higher_is_better) if known else []
    else:
        known = [i for i in finite if metric in rows[i].errors]
        errors = [rows[i].errors[metric] for i in known]
        values = [rows[i].whole[metric] for i in known]
        made = standings_by_error(values, errors, column.higher_is_better) if known else []
        if known != finite:  # the best may be among the rows without a value
            made = [Standing(standing.interval) for standing in made]
    for i, standing in zip(known, made, strict=True):
        found[i] = standing
    return found


def _spread(column: Column, row: Row, common: Sequence[str]) -> float | None:
    """Return the standard deviation over repetitions if all have a value."""
    values = [_bare_cell(column, one, common).value for one in row.repetitions]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.stdev(known) if len(known) == len(values) > 1 else None


def _beside(cell: Cell, row: Row, metric: str) -> Cell:
    """Add published value and verdict to a cell."""
    published = row.published.get(metric)
    if published is None:
        return cell
    departures = tuple(row.departures.get(metric, ()))
    cell = replace(cell, published=published, departures=departures)
    if cell.value is None or not math.isfinite(cell.value):
        return cell
    return replace(
        cell,
        difference=cell.value - published.value,
        verdict=judge(cell.value, cell.interval, published.printed, departures),
    )


def common_images(metric: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the sorted ids of images with a value in every row that has the metric."""
    sets = [set(row.scores[metric]) for row in rows if row.scores.get(metric)]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def marks_of(means: Sequence[float | None], column: Column) -> tuple[Mark, ...]:
    """Return one mark per mean: best, second best, or none.

    Means are compared as printed, so values that look equal share a mark. Absent and infinite means
    are never marked; with fewer than two finite means, nothing is marked.
    """
    printed = [_as_printed(mean, column.digits) for mean in means]
    finite = [value for value in printed if value is not None]
    if len(finite) < 2:
        return (Mark.NONE,) * len(means)
    ranked = sorted(set(finite), reverse=column.higher_is_better)
    marks = dict(zip(ranked, (Mark.BEST, Mark.SECOND), strict=False))
    return tuple(Mark.NONE if v is None else marks.get(v, Mark.NONE) for v in printed)


def _whole_cell(metric: str, row: Row) -> Cell:
    value = row.whole.get(metric)
    if value is None:
        return Cell(None, 0, reason=row.missing.get(metric, NOT_MEASURED))
    if math.isnan(value):
        return Cell(None, 0, reason="Not a number.")
    return Cell(value, row.images_done)


def _mean_cell(metric: str, row: Row, common: Sequence[str]) -> Cell:
    scores = row.scores.get(metric)
    if not scores:
        return Cell(None, 0, reason=row.missing.get(metric, NOT_MEASURED))
    if not common:
        return Cell(None, 0, reason=NOTHING_IN_COMMON)
    values = [scores[image] for image in common]
    broken = sum(math.isnan(value) for value in values)
    if broken:
        return Cell(None, 0, reason=f"Not a number for {broken} of {len(values)} images.")
    return Cell(mean(values), len(values))


def grouped(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    """Return key -> its items, both in their order."""
    groups: dict[Key, list[Item]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return groups


def mean(values: Sequence[float]) -> float:
    """Return the order-independent mean of at least one value."""
    infinite = {value for value in values if math.isinf(value)}
    if infinite:
        return min(infinite)  # both infinities have no mean: fsum would raise
    # Round once, not after each image, so that the order of images does not matter.
    return math.fsum(values) / len(values)


def _as_printed(mean: float | None, digits: int) -> float | None:
    if mean is None or not math.isfinite(mean):
        return None
    return float(f"{mean:.{digits}f}")
