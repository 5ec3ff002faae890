"""Numbers of the page at full precision, as CSV files."""

import csv
import io
from collections.abc import Sequence

from bench.report.page.content import json_number
from bench.report.page.section import Section
from bench.report.renderers.escape import csv_text
from bench.report.renderers.plain import to_csv

_FACTS = ("test_set", "protocol", "method", "title", "run", "image")


def means_csv(sections: Sequence[Section]) -> str:
    """Return every cell of every table, in the format of `bench report --csv`."""
    texts = [to_csv(table).splitlines(keepends=True) for s in sections for table in s.tables]
    return "".join([texts[0][0], *(line for lines in texts for line in lines[1:])])


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
    writer.writerow((*_FACTS, *map(csv_text, names)))
    for section, table in tables:
        for run, row in section.rows(table):
            scores = [row.scores.get(name, {}) for name in names]
            texts = (section.testset.name, table.protocol, row.name, row.title, run.spec.identity)
            facts = [csv_text(text) for text in texts]
            for image in section.testset.entries:
                values = [json_number(of.get(image)) for of in scores]
                writer.writerow((*facts, csv_text(image), *values))
    return stream.getvalue()
