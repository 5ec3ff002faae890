"""Steps of a reproduction and their state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.core.config import Config, Workspace
from bench.core.errors import WrongUsage
from bench.core.presets import preset_config
from bench.reproduce.suite import Suite, SuiteTestSet, published_table
from bench.testsets.manifest import Plan
from bench.testsets.recipe import find_recipe, plan_testset

State = Literal["done", "to do", "missing", "left out", "failed"]


@dataclass(frozen=True)
class Step:
    """A step and its state.

    Attributes:
        name: name of the result.
        state: "missing" needs the user; "left out" is not part of an embedded reproduction.
        note: cost, action for the user, or path of the result.
        digest: hash of the result.
        perform: function that runs the step and returns its new state; None unless it is to do.
    """

    name: str
    state: State
    note: str = ""
    digest: str = ""
    perform: Callable[[], "Step"] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Options:
    """Options of a reproduction.

    Attributes:
        embedded: reduced version, with the networks that ship.
        count: images per test set (default: all of the recipe).
        scales: scales of the suite to take (default: all).
        sources: recipe -> where its images are; "" for every recipe.
        training: images that Correctors are trained on.
        training_steps: steps to train each Corrector (default: the paper's).
        settings: method -> setting -> value, in place of the published ones.
        forecast: estimate the cost of runs by rehearsals.
    """

    embedded: bool = False
    count: int | None = None
    scales: tuple[int, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    training: Path | None = None
    training_steps: int | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forecast: bool = False


@dataclass(frozen=True)
class Planned:
    """A test set of a suite."""

    name: str
    plan: Plan
    source: str | None
    origin: str


@dataclass(frozen=True)
class PlannedRun:
    """A method on a test set: published label, and method -> setting -> value."""

    label: str
    method: str
    settings: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """A suite to reproduce in a workspace."""

    name: str
    suite: Suite
    here: Workspace
    options: Options = Options()

    @property
    def size(self) -> int:
        """Size of the results in pixels."""
        return self.config.size or self.suite.size

    @property
    def config(self) -> Config:
        """Return the suite's configuration with the user's weights and recognition.

        Set metrics use the recipe's reference set, as in the paper.
        """
        own = self.here.config
        base = preset_config("embedded") if self.options.embedded else Config(size=self.suite.size)
        return replace(base, weights=own.weights, recognition=own.recognition)

    @property
    def workspace(self) -> Workspace:
        """Return the workspace under this configuration."""
        return replace(self.here, config=self.config)

    @property
    def count(self) -> int | None:
        """Return the number of images per test set; None for all."""
        default = self.suite.embedded.count if self.options.embedded else None
        return self.options.count or default

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        if self.options.embedded:
            return self.suite.embedded.metrics
        if table := published_table(self.suite):
            return tuple(metric.measure for metric in table.metrics.values())
        return self.suite.metrics

    def testsets(self) -> list[Planned]:
        """Return the test sets of the suite, at the chosen scales.

        Raises:
            WrongUsage: the suite has none of the chosen scales, or a source is of no recipe.
        """
        suite, chosen = self.suite, self.options.scales
        wanted = suite.embedded.testsets if self.options.embedded else suite.testsets
        if unknown := [name for name in self.options.sources if name not in _names(wanted)]:
            raise WrongUsage(
                f"--source {unknown[0]}=... names an unknown test set: known are "
                f"{', '.join(_names(wanted)[1:])}."
            )
        planned = [
            self._planned(each, scale)
            for each in wanted
            for scale in (each.scales or (None,))
            if not chosen or scale is None or scale in chosen
        ]
        if not planned:
            raise WrongUsage(f"{self.name} has no scale {' or '.join(map(str, chosen))}.")
        return planned

    def _planned(self, each: SuiteTestSet, scale: int | None) -> Planned:
        recipe = find_recipe(each.recipe, self.here.datasets)
        given = self.options.sources
        source = given.get(each.recipe) or given.get("") or recipe.source
        plan = plan_testset(
            each.recipe,
            recipe,
            scale,
            self.size,
            each.degradation,
            self.config.seed,
            noise=each.noise,
            noise_unit=each.noise_unit,
        )
        first = f"-first-{self.count}" if self.count else ""
        return Planned(f"{plan.name}{first}", plan, source, recipe.origin)

    def runs(self, testset: Planned) -> list[PlannedRun]:
        """Return the runs on a test set: one per published row, or the suite's own."""
        table = published_table(self.suite)
        if table is None:
            return [self._run(run.label, run.method, {}, run.settings) for run in self.suite.runs]
        conditions = table.conditions
        runs = []
        for name, selection in table.selections.items():
            known: dict[str, Any] = {}
            if conditions and not self.options.embedded:
                known = conditions.settings_of(selection.method, testset.plan.kind)
            row = {**selection.settings, **self.suite.settings.get(name, {})}
            runs.append(self._run(selection.label, selection.method, known, row))
        return runs

    def _run(
        self, label: str, method: str, known: Mapping[str, Any], row: Mapping[str, Any]
    ) -> PlannedRun:
        """Return a run with settings of the preset, the paper, `--set` and the row; later ones win.

        Rows of an ablation differ by their own settings, which must come last.
        """
        merged = {name: dict(values) for name, values in self.config.settings.items()}
        for settings in ({method: known}, self.options.settings, {method: row}):
            for name, values in settings.items():
                merged[name] = {**merged.get(name, {}), **values}
        return PlannedRun(label, method, merged)


def _names(testsets: tuple[SuiteTestSet, ...]) -> list[str]:
    return ["", *dict.fromkeys(each.recipe for each in testsets)]
