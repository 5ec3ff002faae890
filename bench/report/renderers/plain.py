"""Render tables as Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from bench.report.renderers.escape import csv_text, markdown_text, one_line
from bench.report.tables.layout import TIED, UNSEPARATED, Layout, lay_out
from bench.report.tables.table import Cell, Column, Mark, Row, Table

_MARKDOWN_MARKS = {Mark.BEST: "**{}**", Mark.SECOND: "*{}*", Mark.NONE: "{}"}


class _Place(NamedTuple):
    """A cell and where it stands."""

    table: Table
    row: Row
    column: Column
    cell: Cell


_CSV: Mapping[str, Callable[[_Place], object]] = {
    "test_set": lambda at: csv_text(at.table.test_set),
    "scale": lambda at: at.table.scale,
    "seed": lambda at: at.table.seed,
    "images": lambda at: at.table.images,
    "protocol": lambda at: csv_text(at.table.protocol),
    "method": lambda at: csv_text(at.row.name),
    "title": lambda at: csv_text(at.row.title),
    "images_done": lambda at: at.row.images_done,
    "metric": lambda at: csv_text(at.column.name),
    "better": lambda at: better(at.column),
    "unit": lambda at: csv_text(at.column.unit),
    "per": lambda at: at.column.per,
    "value": lambda at: json_number(at.cell.value),
    "count": lambda at: at.cell.count,
    "mark": lambda at: at.cell.mark.value,
    "reason": lambda at: csv_text(at.cell.reason),
    "low": lambda at: at.cell.interval and at.cell.interval.low,
    "high": lambda at: at.cell.interval and at.cell.interval.high,
    "repetitions": lambda at: at.cell.repetitions,
    "spread": lambda at: at.cell.spread,
    "tied": lambda at: at.cell.tied,
    "p_value": lambda at: at.cell.p_value,
    "effect": lambda at: at.cell.effect,
    "behind_low": lambda at: at.cell.gap and at.cell.gap.low,
    "behind_high": lambda at: at.cell.gap and at.cell.gap.high,
    "published": lambda at: at.cell.published and at.cell.published.printed,
    "source": lambda at: at.cell.published and csv_text(at.cell.published.source),
    "difference": lambda at: at.cell.difference,
    "verdict": lambda at: at.cell.verdict and at.cell.verdict.value,
    "departures": lambda at: csv_text(" ".join(of.text for of in at.cell.departures)),
}
"""Columns of CSV; None is written as an empty cell."""


def to_markdown(table: Table, *, intervals: bool = False, beside: bool = False) -> str:
    """Render a Markdown table with notes: the best bold, the second best in italics."""
    layout = lay_out(table, intervals=intervals, beside=beside)
    number = partial(_markdown_number, layout)
    columns = layout.columns(markdown_text, number, markdown_text)
    legend = ["**best**, *second best*"] if layout.marked else []
    legend = [f"{legend[0]}, {TIED} {UNSEPARATED}"] if layout.tied else legend
    reasons = [f"({i}) {markdown_text(text)}" for i, text in enumerate(layout.reasons, start=1)]
    written = [
        f"### {markdown_text(layout.caption)}",
        "",
        *markdown_grid(columns),
    ]
    for note in (*legend, *reasons, *(markdown_text(text) for text in layout.notes)):
        written.extend(("", note))
    return "\n".join(written) + "\n"


def _markdown_number(layout: Layout, cell: Cell, number: str) -> str:
    reason = layout.note_number(cell)
    marked = _MARKDOWN_MARKS[cell.mark].format(number)
    return f"{marked} ({reason})" if reason else f"{marked} {TIED}" if cell.tied else marked


def to_csv(tables: Table | Sequence[Table]) -> str:
    """Render one CSV line per method and metric at full precision.

    `value` is the mean where `per` is "image". An absent one is an empty cell with its reason in
    `reason`; an infinite one is `Infinity`. `Cell` documents the others.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV)
    for table in [tables] if isinstance(tables, Table) else tables:
        for row, row_cells in zip(table.rows, table.cells, strict=True):
            for column, cell in zip(table.columns, row_cells, strict=True):
                place = _Place(table, row, column, cell)
                writer.writerow([value(place) for value in _CSV.values()])
    return stream.getvalue()


def to_json(tables: Table | Sequence[Table]) -> str:
    """Render a table as a JSON object, several as an array; values at full precision.

    An absent value is null with its reason beside it. JSON has no infinity: an infinite value is
    the string `"Infinity"`. `undefined` says, by metric, which images have no value and why;
    `origin` names the run and the hashes of what it was made of, which `bench verify` follows.
    """
    if isinstance(tables, Table):
        value: object = _json_table(tables)
    else:
        value = [_json_table(table) for table in tables]
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _json_table(table: Table) -> dict[str, Any]:
    layout = lay_out(table, beside=True)
    return {
        "test_set": one_line(table.test_set),
        "scale": table.scale,
        "seed": table.seed,
        "images": table.images,
        "title": one_line(table.title),
        "protocol": one_line(table.protocol),
        "metrics": [
            {
                "name": one_line(column.name),
                "title": one_line(column.title),
                "better": better(column),
                "unit": one_line(column.unit),
                "digits": column.digits,
                "per": column.per,
            }
            for column in table.columns
        ],
        "methods": [
            _json_row(table, row, row_cells)
            for row, row_cells in zip(table.rows, layout.cells, strict=True)
        ],
        "notes": [one_line(note) for note in layout.notes],
    }


def _json_row(table: Table, row: Row, row_cells: tuple[Cell, ...]) -> dict[str, Any]:
    return {
        "name": one_line(row.name),
        "title": one_line(row.title),
        "images_done": row.images_done,
        "scores": {
            one_line(column.name): _json_cell(cell)
            for column, cell in zip(table.columns, row_cells, strict=True)
        },
        "undefined": {
            one_line(metric): {one_line(image): one_line(why) for image, why in images.items()}
            for metric, images in row.undefined.items()
        },
        "origin": dict(row.origin),
    }


def _json_cell(cell: Cell) -> dict[str, Any]:
    return {
        "value": json_number(cell.value),
        "count": cell.count,
        "mark": cell.mark.value or None,
        "reason": one_line(cell.reason) or None,
        "interval": cell.interval and [cell.interval.low, cell.interval.high],
        "repetitions": cell.repetitions,
        "spread": cell.spread,
        "tied": cell.tied,
        "p_value": cell.p_value,
        "effect": cell.effect,
        "behind": cell.gap and [cell.gap.low, cell.gap.high],
        "published": cell.published
        and {
            "printed": cell.published.printed,
            "source": one_line(cell.published.source),
            "difference": cell.difference,
            "verdict": cell.verdict and cell.verdict.value,
            "departures": [
                {"text": one_line(departure.text), "comparable": departure.comparable}
                for departure in cell.departures
            ],
        },
    }


def json_number(value: float | None, digits: int | None = None) -> float | str | None:
    """Return a JSON number, signed "Infinity", or None."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value if digits is None else round(value, digits)


def better(column: Column) -> str:
    """Return which values of a column are better, "higher" or "lower"."""
    return "higher" if column.higher_is_better else "lower"


def markdown_grid(columns: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the lines of a Markdown table from headers and the escaped texts below each."""
    headers, texts = zip(*columns, strict=True)
    rules = [":---", *("---:" for _ in headers[1:])]
    rows = [map(markdown_text, headers), rules, *zip(*texts, strict=True)]
    return [f"| {' | '.join(row)} |" for row in rows]
