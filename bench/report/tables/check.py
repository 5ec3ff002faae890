"""Find the cells that claim to reproduce a published value. Pure.

A cell makes this claim if no difference between the two measurements forbids the comparison: under
the paper's conditions, the paper's number is expected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report.tables.layout import number
from bench.report.tables.table import Cell, Column, Row, Table
from bench.report.verdict import Verdict


@dataclass(frozen=True)
class Claim:
    """A cell with a verdict, and its position."""

    table: Table
    row: Row
    column: Column
    cell: Cell

    @property
    def off(self) -> bool:
        return self.cell.verdict is Verdict.OFF

    def __str__(self) -> str:
        """Return a sentence about the claim."""
        assert self.cell.published is not None
        scale = "" if self.table.scale is None else f" at x{self.table.scale}"
        ours = number(self.cell.value, self.column)
        return (
            f"{self.column.title} of {self.row.title} on {self.table.test_set}{scale} is {ours},"
            f" published {self.cell.published.printed} ({self.cell.published.source}):"
            f" {self.cell.verdict.value if self.cell.verdict else ''}."
        )


def claims(tables: Sequence[Table]) -> Iterator[Claim]:
    """Yield the cells that claim to reproduce a published value."""
    for table in tables:
        for row, line in zip(table.rows, table.cells, strict=True):
            for column, cell in zip(table.columns, line, strict=True):
                if cell.verdict not in (None, Verdict.NOT_COMPARABLE):
                    yield Claim(table, row, column, cell)
