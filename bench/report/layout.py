"""The words and numbers of a table, the same for every way to draw it."""

import math
from dataclasses import dataclass

from bench.report.table import Cell, Column, Mark, Row, Table, cells

ABSENT = "\N{EN DASH}"
INFINITE = "\N{INFINITY}"
TIMES = "\N{MULTIPLICATION SIGN}"
UP = "\N{UPWARDS ARROW}"
DOWN = "\N{DOWNWARDS ARROW}"

_NAMED = 10  # images named in a note


@dataclass(frozen=True)
class Layout:
    """A table ready to be drawn; nothing is escaped yet.

    `cells` and `numbers` are [rows][columns], `numbers` as printed. `reasons` are the numbered
    notes, each once; `notes` the others.
    """

    caption: str
    headers: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    numbers: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def marked(self) -> bool:
        """Whether any cell is marked, so that a legend is worth its line."""
        return any(cell.mark is not Mark.NONE for row in self.cells for cell in row)

    def note_number(self, cell: Cell) -> int | None:
        """The number, from 1, of the note that says why the cell is absent."""
        return self.reasons.index(cell.reason) + 1 if cell.value is None else None


def lay_out(table: Table) -> Layout:
    """Compute the cells and put every word of the table in place."""
    grid = cells(table)
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
        notes=(*_partial_notes(table, grid), *_undefined_notes(table), *table.notes),
    )


def number(mean: float | None, column: Column) -> str:
    """A mean as printed: a dash where absent, a sign of infinity where infinite."""
    if mean is None or math.isnan(mean):
        return ABSENT
    if math.isinf(mean):
        return INFINITE if mean > 0 else f"-{INFINITE}"
    # `z`: a negative value that rounds to zero prints no sign.
    return f"{mean:z.{column.digits}f}"


def header(column: Column) -> str:
    """A column's title with its unit, and an arrow to where it is better."""
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
    """One sentence for each number of images, other than all, that columns are averaged over."""
    titles: dict[int, list[str]] = {}
    for i, column in enumerate(table.columns):
        count = max((row[i].count for row in grid), default=0)
        if column.per == "image" and count not in (0, table.images):
            titles.setdefault(count, []).append(column.title)
    return [
        f"{', '.join(names)}: means over {count} of the {table.images} images, the ones that all"
        " methods with a value share."
        for count, names in titles.items()
    ]


def _undefined_notes(table: Table) -> list[str]:
    """One sentence for each reason for which a row has images without a value, naming them."""
    images: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for row in table.rows:
        for column in table.columns:
            reasons: dict[str, list[str]] = {}
            for image, reason in row.undefined.get(column.name, {}).items():
                reasons.setdefault(reason, []).append(image)
            for reason, names in reasons.items():
                images.setdefault((row.title, reason, tuple(names)), []).append(column.title)
    return [
        f"{', '.join(titles)} of {row}: {reason} in {len(names)} of the {table.images} images"
        f" ({_listed(names)})."
        for (row, reason, names), titles in images.items()
    ]


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
