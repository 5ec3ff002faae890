"""Layout of a table: texts and numbers, shared by all renderers."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bench.report.tables.table import Cell, Column, Mark, Row, Table, grouped
from bench.report.verdict import Verdict

ABSENT = "\N{EN DASH}"
INFINITE = "\N{INFINITY}"
TIMES = "\N{MULTIPLICATION SIGN}"
UP = "\N{UPWARDS ARROW}"
DOWN = "\N{DOWNWARDS ARROW}"
MINUS = "\N{MINUS SIGN}"
TIED = "\N{ALMOST EQUAL TO}"
SPREAD = "\N{PLUS-MINUS SIGN}"

UNSEPARATED = "not separated from the best by the data"
VERDICTS = {Verdict.NOT_COMPARABLE: "n.c."} | {
    verdict: verdict.value for verdict in (Verdict.MATCH, Verdict.NEAR, Verdict.OFF)
}

_NAMED = 10  # images named in a note

Drawn = TypeVar("Drawn")


Extra = tuple[str, tuple[str, ...]]
"""Header and texts [rows] of a column that follows a metric's numbers."""


@dataclass(frozen=True)
class Layout:
    """A table ready to render; nothing is escaped yet.

    `cells` and `numbers` are [rows][columns], `numbers` as printed. `extras` are, for each column,
    the additions to its numbers: spreads, intervals, published values. `reasons` are the numbered
    notes, each once; `notes` the others.
    """

    caption: str
    headers: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    numbers: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    extras: tuple[tuple[Extra, ...], ...]

    @property
    def tied(self) -> bool:
        """Return True if any cell is tied with the best."""
        return any(cell.tied for row in self.cells for cell in row)

    @property
    def marked(self) -> bool:
        """Return True if any cell is marked, so that a legend is needed."""
        return any(cell.mark is not Mark.NONE for row in self.cells for cell in row)

    def note_number(self, cell: Cell) -> int | None:
        """Return the number, from 1, of the note about an absent cell."""
        return self.reasons.index(cell.reason) + 1 if cell.value is None else None

    def columns(
        self,
        label: Callable[[str], Drawn],
        number: Callable[[Cell, str], Drawn],
        extra: Callable[[str], Drawn],
    ) -> Iterator[tuple[str, list[Drawn]]]:
        """Yield header and drawn texts of each column: labels, numbers and their additions."""
        yield "Method", [label(text) for text in self.labels]
        for i, (header, extras) in enumerate(zip(self.headers, self.extras, strict=True)):
            rows = zip(self.cells, self.numbers, strict=True)
            yield header, [number(cells[i], numbers[i]) for cells, numbers in rows]
            yield from ((title, [extra(text) for text in texts]) for title, texts in extras)


def lay_out(table: Table, *, intervals: bool = False, beside: bool = False) -> Layout:
    """Compute the cells and all texts of the table.

    `intervals` shows 95 % intervals, `beside` published values.
    """
    grid = table.cells
    absent = [cell.reason for row in grid for cell in row if cell.value is None]
    return Layout(
        caption=_caption(table),
        headers=tuple(header(column) for column in table.columns),
        labels=tuple(_label(row, table.images) for row in table.rows),
        cells=grid,
        numbers=tuple(
            tuple(number(c.value, column) for c, column in zip(row, table.columns, strict=True))
            for row in grid
        ),
        reasons=tuple(dict.fromkeys(absent)),
        notes=(
            *_partial_notes(table, grid),
            *_undefined_notes(table),
            *_repetition_notes(table, grid),
            *(_published_notes(table, grid) if beside else ()),
            *table.notes,
        ),
        extras=tuple(
            tuple(_extras(column, [row[i] for row in grid], intervals, beside))
            for i, column in enumerate(table.columns)
        ),
    )


def _extras(column: Column, cells: list[Cell], intervals: bool, beside: bool) -> Iterator[Extra]:
    if any(cell.spread is not None for cell in cells):
        yield SPREAD, tuple("" if c.spread is None else number(c.spread, column) for c in cells)
    if intervals and any(cell.interval for cell in cells):
        yield "95 %", tuple(interval_text(cell, column) for cell in cells)
    if beside and any(cell.published for cell in cells):
        yield "published", tuple(published_text(cell, column) for cell in cells)


def interval_text(cell: Cell, column: Column) -> str:
    """Return the interval as printed, "20.10 to 21.90"; empty without one."""
    if cell.interval is None:
        return ""
    return f"{number(cell.interval.low, column)} to {number(cell.interval.high, column)}"


def published_text(cell: Cell, column: Column) -> str:
    """Return the published value digit for digit, our difference from it and the verdict."""
    if cell.published is None:
        return ""
    if cell.difference is None or cell.verdict is None:
        return cell.published.printed
    difference = f"{cell.difference:+.{column.digits}f}".replace("-", MINUS)
    return f"{cell.published.printed} ({difference}, {VERDICTS[cell.verdict]})"


def number(mean: float | None, column: Column) -> str:
    """Return a mean as printed: a dash if absent, an infinity sign if infinite."""
    if mean is None or math.isnan(mean):
        return ABSENT
    if math.isinf(mean):
        return INFINITE if mean > 0 else f"-{INFINITE}"
    # `z`: a negative value that rounds to zero prints no sign.
    return f"{mean:z.{column.digits}f}"


def header(column: Column) -> str:
    """Return a column's title with its unit and an arrow in the better direction."""
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.title}{unit} {UP if column.higher_is_better else DOWN}"


def _label(row: Row, images: int) -> str:
    return row.title if row.images_done == images else f"{row.title} ({row.images_done}/{images})"


def _caption(table: Table) -> str:
    scale = "" if table.scale is None else f", {TIMES}{table.scale}"
    protocol = f", {table.protocol} protocol" if table.protocol else ""
    facts = f"{table.test_set}{scale}, N = {table.images}, seed {table.seed}{protocol}"
    return f"{table.title}: {facts}" if table.title else facts


def _partial_notes(table: Table, grid: tuple[tuple[Cell, ...], ...]) -> list[str]:
    """Return one sentence per partial image count that columns are averaged over."""
    titles: dict[int, list[str]] = {}
    for i, column in enumerate(table.columns):
        count = max((row[i].count for row in grid), default=0)
        if column.per == "image" and count not in (0, table.images):
            titles.setdefault(count, []).append(column.title)
    return [
        f"{', '.join(names)}: means over the {count} of {table.images} images for which all methods"
        " have a value."
        for count, names in titles.items()
    ]


def _undefined_notes(table: Table) -> list[str]:
    """Return one sentence per reason for images without a value, naming the images."""
    images: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for row in table.rows:
        for column in table.columns:
            undefined = row.undefined.get(column.name, {})
            reasons = grouped((reason, image) for image, reason in undefined.items())
            for reason, names in reasons.items():
                images.setdefault((row.title, reason, tuple(names)), []).append(column.title)
    return [
        f"{', '.join(titles)} of {row}: {reason} in {len(names)} of the {table.images} images"
        f" ({_listed(names)})."
        for (row, reason, names), titles in images.items()
    ]


def _repetition_notes(table: Table, grid: tuple[tuple[Cell, ...], ...]) -> list[str]:
    """Return one sentence per number of repetitions."""
    titles = grouped((len(row.repetitions), row.title) for row in table.rows)
    spread = any(cell.spread is not None for row in grid for cell in row)
    behind = f", {SPREAD} the standard deviation of their values" if spread else ""
    return [
        f"{', '.join(names)}: means over {count} repetitions{behind}."
        for count, names in titles.items()
        if count
    ]


def _published_notes(table: Table, grid: tuple[tuple[Cell, ...], ...]) -> list[str]:
    """Return the sources, the meaning of verdicts, and each departure with its cells."""
    there = itertools.product(range(len(table.rows)), range(len(table.columns)))
    compared = [(i, j) for i, j in there if grid[i][j].verdict is not None]
    places = grouped(
        (departure, (i, j)) for i, j in compared for departure in grid[i][j].departures
    )
    published = (cell.published for row in grid for cell in row if cell.published)
    sources = dict.fromkeys(value.source for value in published)
    known = {cell.verdict for row in grid for cell in row}
    notes = [f"Published: {'; '.join(sources)}."] if sources else []
    if known & {Verdict.MATCH, Verdict.NEAR, Verdict.OFF}:
        notes.append(
            "Match: within the rounding of the published number plus our 95 % interval. Near:"
            " within twice that."
        )
    for comparable, heading in ((False, "Not comparable (n.c.)"), (True, "Note")):
        sentences = [
            _about(table, where, compared) + departure.text
            for departure, where in places.items()
            if departure.comparable == comparable
        ]
        if sentences:
            notes.append(f"{heading}: {' '.join(sentences)}")
    return notes


def _about(table: Table, where: list[tuple[int, int]], compared: list[tuple[int, int]]) -> str:
    """Name the rows or columns that a sentence is about; empty if all."""
    if set(where) == set(compared):
        return ""
    names = []
    for axis, titles in enumerate(
        ([row.title for row in table.rows], [column.title for column in table.columns])
    ):
        of = dict.fromkeys(place[axis] for place in where)
        named = ", ".join(titles[i] for i in of)
        if set(where) == {place for place in compared if place[axis] in of}:
            return f"{named}: "
        names.append(named)
    return f"{'; '.join(names)}: "


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
