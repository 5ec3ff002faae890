"""A table as text for other programs and for pages: Markdown, CSV and JSON."""

import csv
import io
import json
import math
from typing import Any

from bench.report.escape import csv_text, markdown_text, one_line
from bench.report.layout import lay_out
from bench.report.table import Cell, Column, Mark, Row, Table, cells

_MARKDOWN_MARKS = {Mark.BEST: "**{}**", Mark.SECOND: "*{}*", Mark.NONE: "{}"}

_CSV_HEADER = (
    "test_set",
    "scale",
    "seed",
    "images",
    "protocol",
    "method",
    "title",
    "images_done",
    "metric",
    "better",
    "unit",
    "per",
    "value",
    "count",
    "mark",
    "reason",
)


def to_markdown(table: Table) -> str:
    """A Markdown table with its notes: the best bold, the second best in italics."""
    layout = lay_out(table)
    lines = [
        f"### {markdown_text(layout.caption)}",
        "",
        _markdown_row(["Method", *(markdown_text(header) for header in layout.headers)]),
        _markdown_row([":---", *("---:" for _ in layout.headers)]),
    ]
    for label, row, numbers in zip(layout.labels, layout.cells, layout.numbers, strict=True):
        line = [markdown_text(label)]
        for cell, number in zip(row, numbers, strict=True):
            reason = layout.note_number(cell)
            marked = _MARKDOWN_MARKS[cell.mark].format(number)
            line.append(f"{marked} ({reason})" if reason else marked)
        lines.append(_markdown_row(line))
    legend = ["**best**, *second best*"] if layout.marked else []
    reasons = [f"({i}) {markdown_text(text)}" for i, text in enumerate(layout.reasons, start=1)]
    for note in (*legend, *reasons, *(markdown_text(text) for text in layout.notes)):
        lines.extend(("", note))
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """One line per method and metric at full precision.

    `value` is the mean where `per` is "image". An absent one is an empty cell with its reason in
    the last one; an infinite one is `Infinity`.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for row, row_cells in zip(table.rows, cells(table), strict=True):
        for column, cell in zip(table.columns, row_cells, strict=True):
            value = _value(cell)
            writer.writerow(
                (
                    csv_text(table.test_set),
                    "" if table.scale is None else table.scale,
                    table.seed,
                    table.images,
                    csv_text(table.protocol),
                    csv_text(row.name),
                    csv_text(row.title),
                    row.images_done,
                    csv_text(column.name),
                    _better(column),
                    csv_text(column.unit),
                    column.per,
                    "" if value is None else value,
                    cell.count,
                    cell.mark.value,
                    csv_text(cell.reason),
                )
            )
    return stream.getvalue()


def to_json(table: Table) -> str:
    """The table as one JSON object, values at full precision: means where `per` is "image".

    An absent value is null with its reason beside it. JSON has no infinity: an infinite value is
    the string `"Infinity"`. `undefined` says, by metric, which images have no value and why;
    `origin` names the run and the hashes of what it was made of, which `bench verify` follows.
    """
    layout = lay_out(table)
    value = {
        "test_set": one_line(table.test_set),
        "scale": table.scale,
        "seed": table.seed,
        "images": table.images,
        "title": one_line(table.title),
        "protocol": one_line(table.protocol),
        "metrics": [_json_column(column) for column in table.columns],
        "methods": [
            _json_row(table, row, row_cells)
            for row, row_cells in zip(table.rows, layout.cells, strict=True)
        ],
        "notes": [one_line(note) for note in layout.notes],
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _json_column(column: Column) -> dict[str, Any]:
    return {
        "name": one_line(column.name),
        "title": one_line(column.title),
        "better": _better(column),
        "unit": one_line(column.unit),
        "digits": column.digits,
        "per": column.per,
    }


def _json_row(table: Table, row: Row, row_cells: tuple[Cell, ...]) -> dict[str, Any]:
    return {
        "name": one_line(row.name),
        "title": one_line(row.title),
        "images_done": row.images_done,
        "scores": {
            one_line(column.name): {
                "value": _value(cell),
                "count": cell.count,
                "mark": cell.mark.value or None,
                "reason": one_line(cell.reason) or None,
            }
            for column, cell in zip(table.columns, row_cells, strict=True)
        },
        "undefined": {
            one_line(metric): {one_line(image): one_line(why) for image, why in images.items()}
            for metric, images in row.undefined.items()
        },
        "origin": dict(row.origin),
    }


def _value(cell: Cell) -> float | str | None:
    if cell.value is None or math.isfinite(cell.value):
        return cell.value
    return "Infinity" if cell.value > 0 else "-Infinity"


def _better(column: Column) -> str:
    return "higher" if column.higher_is_better else "lower"


def _markdown_row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"
