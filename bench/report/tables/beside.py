"""Add published values to a table, with differing conditions; find claims to reproduce them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.networks.registry.records import find_record
from bench.report.published.tables import (
    Conditions,
    PublishedTable,
    PublishedValue,
    Selection,
    scale_name,
)
from bench.report.tables.contamination import known_as
from bench.report.tables.layout import number
from bench.report.tables.table import Cell, Column, Row, Table
from bench.report.verdict import Departure, Verdict
from bench.store.run import Run
from bench.testsets.manifest import TestSet

UNKNOWN = Departure("The conditions of the published measurement are unknown.")


def with_published(
    table: Table, testset: TestSet, runs: Sequence[Run | None], tables: Sequence[PublishedTable]
) -> Table:
    """Add published values to a table's cells.

    `runs` holds the first run of each row, in order; None for a published row without a run, which
    is found by its name.
    """
    return replace(
        table,
        rows=tuple(
            _row(row, run, table, testset, tables)
            for row, run in zip(table.rows, runs, strict=True)
        ),
    )


def _row(
    row: Row, run: Run | None, table: Table, testset: TestSet, tables: Sequence[PublishedTable]
) -> Row:
    published: dict[str, PublishedValue] = {}
    departures: dict[str, tuple[Departure, ...]] = {}
    for column in table.columns:
        for printed in tables:
            if found := find_value(printed, testset, run or row.name, column.name):
                published[column.name] = found
                if run:
                    place = _Place(printed, found, testset, run, table.protocol, column, row)
                    departures[column.name] = tuple(place.departures())
                break
    return replace(row, published=published, departures=departures)


def find_value(
    printed: PublishedTable, testset: TestSet, of: Run | str, metric: str
) -> PublishedValue | None:
    """Return a metric's published value for a run, or for the name of a published row."""
    family = family_of(printed, testset)
    for value in printed.values if family else ():
        if (value.family, scale_name(value.scale)) == (family, testset.manifest.plan.kind):
            selection = printed.selections[value.method]
            meant = (
                value.method == of
                if isinstance(of, str)
                else selection.takes(of.spec.method, of.spec.settings)
            )
            if meant and printed.metrics[value.metric].measure == metric:
                return value
    return None


def family_of(printed: PublishedTable, testset: TestSet) -> str | None:
    """Return the published family of a test set: its own, or the only one of its kind.

    None where a table has nothing of the same degradation and scale, or several families.
    """
    plan = testset.manifest.plan
    families = {v.family for v in printed.values if scale_name(v.scale) == plan.kind}
    if plan.recipe in families:
        return plan.recipe
    return families.pop() if len(families) == 1 else None


@dataclass(frozen=True)
class _Place:
    """A cell and its published value."""

    printed: PublishedTable
    value: PublishedValue
    testset: TestSet
    run: Run
    protocol: str
    column: Column
    row: Row

    def departures(self) -> Iterator[Departure]:
        """Return the departures, from the most general to the most specific."""
        conditions = self.printed.conditions
        if conditions is None:
            yield UNKNOWN
            return
        yield from self._of_testset(conditions)
        if conditions.protocol not in (None, self.protocol):
            theirs = conditions.protocol
            yield Departure(f"Protocol: {self.protocol} (published: {theirs}).")
        yield from self._of_weights(conditions)
        yield from self._of_settings(conditions)
        metric = self.printed.metrics[self.value.metric]
        notes = metric.note, self.value.note, conditions.note
        yield from (Departure(note, comparable=True) for note in notes if note)

    def _of_testset(self, conditions: Conditions) -> Iterator[Departure]:
        plan, images = self.testset.manifest.plan, self.row.images_done
        if plan.recipe != self.value.family:
            theirs = self.printed.test_sets[self.value.family]
            yield Departure(f"Test set: {plan.recipe} (published: {theirs}).")
        if conditions.size not in (None, plan.size):
            yield Departure(f"Resolution: {plan.size} px (published: {conditions.size} px).")
        if plan.noise is not None:
            yield Departure(f"Noise: {plan.noise:g}, {plan.noise_unit} (published: none).")
        if conditions.images not in (None, images):
            yield Departure(
                f"Images: {images} (published: {conditions.images}).",
                comparable=self.column.per == "image",  # values of sets depend on it
            )

    def _of_weights(self, conditions: Conditions) -> Iterator[Departure]:
        for kind, name in conditions.weights.get(self._selection.method, {}).items():
            if (ours := self.run.spec.weights.get(kind)) is None:
                continue
            if not name:
                yield Departure(
                    f"{kind.capitalize()}: another one, because the paper's was not published.",
                    True,
                )
            elif ours != find_record(name).sha256:
                yield Departure(f"{kind.capitalize()}: {known_as(ours)} (published: {name}).")

    def _of_settings(self, conditions: Conditions) -> Iterator[Departure]:
        selection, scale = self._selection, scale_name(self.value.scale)
        for name, theirs in conditions.settings_of(selection.method, scale).items():
            ours = self.run.spec.settings.get(name)
            if name not in selection.about and ours != theirs:
                yield Departure(f"{name}: {ours} (published: {theirs}).")

    @property
    def _selection(self) -> Selection:
        return self.printed.selections[self.value.method]


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
    """Yield the cells that claim to reproduce a published value.

    A cell makes this claim if no difference between the two measurements forbids the comparison:
    under the paper's conditions, the paper's number is expected.
    """
    for table in tables:
        for row, line in zip(table.rows, table.cells, strict=True):
            for column, cell in zip(table.columns, line, strict=True):
                if cell.verdict not in (None, Verdict.NOT_COMPARABLE):
                    yield Claim(table, row, column, cell)
