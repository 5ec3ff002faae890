"""Content of the page: cells with details, images, provenance. Pure."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.report.page.pictures import THUMBNAIL
from bench.report.page.section import Section
from bench.report.renderers.escape import csv_text, one_line
from bench.report.renderers.plain import json_number
from bench.report.tables.collect import COSTS
from bench.report.tables.layout import SPREAD, Layout, interval_text, lay_out, number
from bench.report.tables.runs import run_labels
from bench.report.tables.table import Cell, Column, Table

ROUNDING = 2
"""Extra decimals of the gallery's values, for sorting."""

RAW_FACTS = ("test_set", "protocol", "method", "title", "run", "image")
"""First columns of images.csv."""


@dataclass(frozen=True)
class ShownCell:
    """A cell: text, sort key ("" if absent), and details."""

    text: str
    value: str
    mark: str
    tied: bool
    verdict: str
    published: bool
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ShownRow:
    """A row: method, run, label, cells."""

    method: str
    run: str
    label: str
    cells: Sequence[ShownCell]


@dataclass(frozen=True)
class ShownTable:
    """A table under one protocol."""

    testset: str
    protocol: str
    layout: Layout
    columns: tuple[Column, ...]
    rows: Sequence[ShownRow]


@dataclass(frozen=True)
class Facts:
    """Facts about a test set or a run: names and values in groups with headings."""

    testset: str
    key: str
    method: str
    title: str
    hash: str
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def tables_of(sections: Sequence[Section]) -> list[ShownTable]:
    """Return every table, ready for the template."""
    shown = []
    for section in sections:
        for table in section.tables:
            layout = lay_out(table, beside=True)
            rows = []
            drawn = zip(table.rows, section.groups, layout.labels, layout.cells, strict=True)
            for row, group, label, line in drawn:
                cells = [
                    shown_cell(c, of, table) for c, of in zip(line, table.columns, strict=True)
                ]
                rows.append(ShownRow(row.name, group[0].folder.name, label, cells))
            name = section.testset.name
            shown.append(ShownTable(name, table.protocol, layout, table.columns, rows))
    return shown


def methods_of(sections: Sequence[Section]) -> dict[str, str]:
    """Return name -> title of every method."""
    titles: dict[str, str] = {}
    for run in (run for section in sections for run in section.runs):
        titles.setdefault(run.spec.method, run.title)
    return titles


def shown_cell(cell: Cell, column: Column, table: Table) -> ShownCell:
    """Return a cell for the page, with details as ordered names and values."""
    details: dict[str, str] = {}
    if cell.value is None:
        details["No value"] = cell.reason
    elif column.per == "image":
        details["Mean"] = f"{cell.value:.6g}"
        details["Images"] = f"{cell.count} of {table.images}"
    else:
        details["Value"] = f"{cell.value:.6g}"
        details["Of the whole"] = column.per
    if cell.interval is not None:
        details["95 % interval"] = interval_text(cell, column)
    if cell.spread is not None:
        details["Repetitions"] = f"{cell.repetitions}, {SPREAD} {number(cell.spread, column)}"
    if cell.p_value is not None:
        details["Like the best"] = f"p = {cell.p_value:.2g}{', a tie' if cell.tied else ''}"
    if cell.published is not None:
        details["Published"] = cell.published.printed
        if cell.difference is not None:
            details["Difference"] = f"{cell.difference:+.{column.digits}f}"
        if cell.verdict is not None:
            details["Verdict"] = cell.verdict.value
        if cell.departures:
            details["Because"] = " ".join(departure.text for departure in cell.departures)
        details["Source"] = f"{cell.published.source}, as {cell.published.method_label}"
        if cell.published.note:
            details["Note"] = cell.published.note
    return ShownCell(
        text=number(cell.value, column),
        value="" if cell.value is None else str(json_number(cell.value)),
        mark=cell.mark.value,
        tied=cell.tied,
        verdict="" if cell.verdict is None else cell.verdict.name.lower(),
        published=cell.published is not None,
        details=tuple(details.items()),
    )


def gallery_of(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return the image ids, files and values of each test set, as JSON.

    Layers are LR, every run and GT. `pictures` (files, named by hash) and values are in the order
    of `images`, null where there is none.
    """
    return [_gallery(section) for section in sections]


def _gallery(section: Section) -> dict[str, Any]:
    images = list(section.testset.entries)
    titles = {"lr": "LR", "gt": "GT"} | {
        run.folder.name: row.title for run, row in section.rows(section.tables[0])
    }
    methods = {run.folder.name: run.spec.method for run in section.runs}
    return {
        "name": section.testset.name,
        "images": images,
        "layers": [
            {
                "key": layer.key,
                "title": one_line(titles[layer.key]),
                "method": methods.get(layer.key, ""),
                "thumbnails": layer.size > THUMBNAIL,
                "pictures": [layer.pictures.get(image, (None, None))[1] for image in images],
            }
            for layer in section.layers
        ],
        "metrics": [
            _metric(column, table, section)
            for table in section.tables
            for column in image_metrics(table)
        ],
    }


def image_metrics(table: Table) -> list[Column]:
    """Return the metrics with a value per image."""
    return [column for column in table.columns if column.per == "image" and column not in COSTS]


def _metric(column: Column, table: Table, section: Section) -> dict[str, Any]:
    images = list(section.testset.entries)
    digits = column.digits + ROUNDING
    values, notes = {}, {}
    for run, row in section.rows(table):
        if scores := row.scores.get(column.name):
            values[run.folder.name] = [json_number(scores.get(i), digits) for i in images]
        if undefined := row.undefined.get(column.name):
            notes[run.folder.name] = {
                place: one_line(undefined[i]) for place, i in enumerate(images) if i in undefined
            }
    return {
        "title": one_line(f"{column.title} ({column.unit})" if column.unit else column.title),
        "protocol": table.protocol,
        "higher": column.higher_is_better,
        "digits": column.digits,
        "values": values,
        "notes": notes,
    }


def images_csv(sections: Sequence[Section]) -> str:
    """Return one line per test set, protocol, run and image, with one column per metric.

    A missing value is an empty cell and an infinite one `Infinity`, as in `to_csv`.
    """
    tables = [(section, table) for section in sections for table in section.tables]
    names = dict.fromkeys(
        column.name for _, table in tables for column in table.columns if column.per == "image"
    )
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*RAW_FACTS, *map(csv_text, names)))
    for section, table in tables:
        for run, row in section.rows(table):
            scores = [row.scores.get(name, {}) for name in names]
            texts = (section.testset.name, table.protocol, row.name, row.title, run.spec.identity)
            facts = [csv_text(text) for text in texts]
            for image in section.testset.entries:
                values = [json_number(of.get(image)) for of in scores]
                writer.writerow((*facts, csv_text(image), *values))
    return stream.getvalue()


def provenance_of(sections: Sequence[Section]) -> list[Facts]:
    """Return the inputs of each test set and run, with hashes and machine."""
    return list(chain.from_iterable(_provenance(section) for section in sections))


def _provenance(section: Section) -> Iterator[Facts]:
    testset = section.testset
    manifest = testset.manifest
    plan = {name: value for name, value in vars(manifest.plan).items() if value is not None}
    about = {"images": len(manifest.images), "licence": manifest.licence, **plan}
    yield Facts(
        testset.name,
        f"set-{testset.name}",
        "",
        f"Test set {testset.name}",
        manifest.sha256,
        (("What it is", tuple(flattened(about))),),
    )
    for run, label in zip(section.runs, run_labels(section.runs), strict=True):
        headings = {"spec": "What was run", "provenance": "Where", "outcome": "Outcome"}
        groups = {
            heading: tuple(flattened(run.description[key]))
            for key, heading in headings.items()
            if run.description.get(key)
        }
        for again in run.description.get("resumed", []):
            groups[f"Resumed {again.get('started', '')}"] = tuple(flattened(again))
        yield Facts(
            testset.name,
            f"run-{run.folder.name}",
            run.spec.method,
            label,
            run.spec.identity,
            tuple(groups.items()),
        )


def flattened(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested tables to names and values, such as "settings tau"."""
    for name, value in values.items():
        words = f"{above}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flattened(value, f"{words} ")
        elif value is not None:
            yield words, value if isinstance(value, str) else json.dumps(value)
