"""Sections of a page: a test set, its runs, and the paths of their images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.report.tables.table import Row, Table
from bench.store.run import Run
from bench.testsets.manifest import TestSet

DIGITS = 20
"""Hash digits in a file name, enough to distinguish all images."""


@dataclass(frozen=True)
class Layer:
    """Images of one origin: LR, GT (`key` "lr", "gt") or a run (its folder's name).

    `size` is the images' side in pixels. `pictures` maps image id -> file, and its name on the
    page, the beginning of its hash.
    """

    key: str
    size: int
    pictures: Mapping[str, tuple[Path, str]]


@dataclass(frozen=True)
class Section:
    """A test set with one table per protocol.

    `groups` are the runs that each row of the tables is made of.
    """

    testset: TestSet
    groups: Sequence[Sequence[Run]]
    tables: Sequence[Table]

    @property
    def runs(self) -> list[Run]:
        """Return all runs in row order."""
        return [run for group in self.groups for run in group]

    def rows(self, table: Table) -> Iterator[tuple[Run, Row]]:
        """Yield each run with its row in a table, repetitions included."""
        for group, row in zip(self.groups, table.rows, strict=True):
            yield from zip(group, row.repetitions or (row,), strict=True)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Return the intact images of LR, every run, and GT if present."""
        return tuple(self._layers())

    def _layers(self) -> Iterator[Layer]:
        plan, entries = self.testset.manifest.plan, self.testset.manifest.images
        folder = self.testset.folder
        inputs = {entry.id: (folder / entry.lr, entry.lr_sha256[:DIGITS]) for entry in entries}
        yield Layer("lr", plan.size // plan.scale, inputs)
        for run in self.runs:
            records = run.records().items()
            there = {image: (run.picture(image), of.sha256[:DIGITS]) for image, of in records}
            yield Layer(run.folder.name, plan.size, there)
        if self.testset.ground_truth:
            originals = {
                entry.id: (folder / entry.hr, entry.hr_sha256[:DIGITS])
                for entry in entries
                if entry.hr is not None and entry.hr_sha256 is not None
            }
            yield Layer("gt", plan.size, originals)
