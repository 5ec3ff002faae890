"""Suites: descriptions of published tables and figures, one TOML file each.

They are in `results/published/suites/`, next to the published tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.core.config import read_toml
from bench.core.errors import WrongUsage
from bench.core.paths import resource
from bench.core.suggest import look_up
from bench.core.validation import Positive, build
from bench.report.published.tables import PublishedTable, read_published
from bench.testsets.manifest import NoiseUnit


@dataclass(frozen=True)
class SuiteTestSet:
    """Test sets of one recipe: bicubic at `scales`, or one of another degradation.

    `noise` is added to bicubic inputs; see `bench.testsets.recipe.plan_testset`.
    """

    recipe: str
    scales: tuple[Positive, ...] = ()
    degradation: str | None = None
    noise: float | None = None
    noise_unit: NoiseUnit | None = None


@dataclass(frozen=True)
class SuiteRun:
    """A run outside any published table; `label` is its title in a figure."""

    method: str
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedded:
    """Small version of a suite for the embedded networks."""

    testsets: tuple[SuiteTestSet, ...]
    metrics: tuple[str, ...]
    count: Positive = 4


@dataclass(frozen=True)
class Suite:
    """Description of a published table or figure.

    Attributes:
        title: title for display.
        testsets: test sets on which it is measured.
        embedded: small version for the embedded networks.
        table: label of the published table, such as "Table 1", whose methods and metrics are used.
        paper: paper that printed the table.
        runs: runs, if there is no published table.
        metrics: metrics, if there is no published table.
        settings: key of a published row, or method -> settings that the table omits.
        output: what a suite of `runs` makes: a grid of faces, or a table of its metrics.
        faces: number of faces in a grid.
        size: size of the results in pixels.
        protocol: how images are fed to metrics.
        training_data: description of the training images of Correctors, for display.
    """

    title: str
    testsets: tuple[SuiteTestSet, ...]
    embedded: Embedded
    table: str | None = None
    paper: str = "DPI"
    runs: tuple[SuiteRun, ...] = ()
    metrics: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    output: Literal["figure", "table"] = "figure"
    faces: Positive = 4
    size: Positive = 256
    protocol: Literal["strict", "paper"] = "paper"
    training_data: str = "FFHQ, images that are in no test set"


def suite_files() -> dict[str, Path]:
    """Return name -> file of every suite."""
    folder = resource("results/published/suites")
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_suite(name: str) -> Suite:
    """Return the suite of this name.

    Raises:
        WrongUsage: no such suite, or a wrong file.
    """
    files = suite_files()
    file = look_up(name, files, "There is no suite", f"known are {', '.join(files)}.")
    suite = build(Suite, read_toml(file), str(file))
    if (suite.table is None) == (not suite.runs):
        raise WrongUsage(f"{file}: give either `table` or `runs`.")
    return suite


def published_table(suite: Suite) -> PublishedTable | None:
    """Return the published table of a suite, if any.

    Raises:
        WrongUsage: no such table is known.
    """
    if suite.table is None:
        return None
    for table in read_published(resource("results/published")):
        if (table.paper, table.label) == (suite.paper, suite.table):
            return table
    raise WrongUsage(f"There is no published {suite.table} of {suite.paper}: add its TOML file.")
