"""What a table of results is, and the arithmetic of its cells. Pure: no drawing, no files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from bench.report.published import PublishedValue

NOT_MEASURED = "It was not measured."
NOTHING_IN_COMMON = "No image has a value for every method, so there is nothing to compare on."


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    `digits` is how many decimals are printed. `per` is what has a value: each image, so that a cell
    is a mean, or the whole set or run, whose one value is the cell.
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
    set or run. `missing` is metric name -> why there is no value, a sentence, and is read only for
    metrics without any; `undefined` is metric name -> image id -> why this image has none, in
    words. `images_done` is how many of the test set's images the method has restored; `published`
    is metric name -> the value a paper printed; `origin` is what leads back to the run's bytes, as
    JSON values.
    """

    name: str
    title: str
    scores: Mapping[str, Mapping[str, float]]
    images_done: int
    missing: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    published: Mapping[str, PublishedValue] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Methods by metrics on one test set of `images` images.

    `test_set` is its name for people, `scale` None where images have no common scale (photographs
    from the world), `notes` whole sentences to print under the table, `protocol` the name of that
    by which all was measured.
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


class Mark(Enum):
    """How a cell compares with the others of its column."""

    BEST = "best"
    SECOND = "second"
    NONE = ""


@dataclass(frozen=True)
class Cell:
    """A mean over `count` images, or the one value of all of them.

    Where there is none (`value` None, `count` 0) `reason` says why.
    """

    value: float | None
    count: int
    mark: Mark = Mark.NONE
    reason: str = ""


def cells(table: Table) -> tuple[tuple[Cell, ...], ...]:
    """Every cell, [rows][columns].

    A mean is over the images that all rows with any value for its metric have a value for, so that
    no method looks better for having skipped the hard faces. Rows without any value for a metric
    don't narrow the others.
    """
    columns = [column_cells(column, table.rows) for column in table.columns]
    return tuple(tuple(cells[i] for cells in columns) for i in range(len(table.rows)))


def column_cells(column: Column, rows: Sequence[Row]) -> tuple[Cell, ...]:
    """The cells of one metric, one per row, marked."""
    if column.per == "image":
        common = common_images(column.name, rows)
        bare = [_mean_cell(column.name, row, common) for row in rows]
    else:
        bare = [_whole_cell(column.name, row) for row in rows]
    marks = marks_of([cell.value for cell in bare], column)
    return tuple(
        Cell(cell.value, cell.count, mark, cell.reason)
        for cell, mark in zip(bare, marks, strict=True)
    )


def common_images(metric: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Ids, sorted, of the images with a value in every row that has any value for the metric."""
    sets = [set(row.scores[metric]) for row in rows if row.scores.get(metric)]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def marks_of(means: Sequence[float | None], column: Column) -> tuple[Mark, ...]:
    """Best and second best, one mark per mean.

    Compared are the printed digits: values that look equal share a mark. Absent and infinite means
    are never marked, and nothing is where fewer than two finite ones can be compared.
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
    return Cell(_mean(values), len(values))


def _mean(values: Sequence[float]) -> float:
    infinite = {value for value in values if math.isinf(value)}
    if infinite:
        return min(infinite)  # both at once have no mean: the sum would be refused
    # Rounded once, not after each image, so that the order of images can't show.
    return math.fsum(values) / len(values)


def _as_printed(mean: float | None, digits: int) -> float | None:
    if mean is None or not math.isfinite(mean):
        return None
    return float(f"{mean:.{digits}f}")
