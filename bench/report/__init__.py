"""Reports: tables, figures, pages, and published values.

The layers: `statistics` and `verdict` are arithmetic, `table` has the cells, `layout` the words,
and `terminal`, `latex` and `plain` each draw what these two say, so that every format shows the
same numbers.
"""

from bench.report.published.tables import (
    Published,
    PublishedMetric,
    PublishedTable,
    PublishedValue,
    read_published,
)
from bench.report.renderers.latex import to_latex
from bench.report.renderers.plain import to_csv, to_json, to_markdown
from bench.report.renderers.terminal import to_terminal
from bench.report.statistics import Interval
from bench.report.strip import picture_strip
from bench.report.tables.table import Cell, Column, Mark, Row, Table
from bench.report.verdict import Departure, Verdict

__all__ = [
    "Cell",
    "Column",
    "Departure",
    "Interval",
    "Mark",
    "Published",
    "PublishedMetric",
    "PublishedTable",
    "PublishedValue",
    "Row",
    "Table",
    "Verdict",
    "picture_strip",
    "read_published",
    "to_csv",
    "to_json",
    "to_latex",
    "to_markdown",
    "to_terminal",
]
