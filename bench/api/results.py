"""Runs, scores and tables: `bench.run`, `bench.evaluate` and `bench.table`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bench.api.references import reference_of
from bench.api.workspace import workspace
from bench.core import paths
from bench.core.config import Precision, Workspace
from bench.core.errors import BenchError
from bench.engine.experiment import Experiment
from bench.engine.run import describe, run_suite
from bench.metrics import Measure, find_measure
from bench.metrics.protocol import protocols
from bench.metrics.recognition import configured
from bench.metrics.scoring.evaluate import as_measured, score_runs
from bench.networks.kinds import check_kinds
from bench.report.published.tables import read_published
from bench.report.renderers.latex import to_latex
from bench.report.renderers.plain import to_csv, to_json, to_markdown
from bench.report.tables.beside import with_published
from bench.report.tables.collect import table_of
from bench.report.tables.runs import find_runs, first_repetitions
from bench.report.tables.table import Table
from bench.store.reading import Reading
from bench.store.run import Run
from bench.testsets.manifest import TestSet

Protocol = Literal["strict", "paper", "daps", "pnp-dm"]
Settings = Mapping[str, Mapping[str, Any]]


def run(
    methods: str | Sequence[str],
    testset: TestSet,
    *,
    settings: Settings | None = None,
    weights: Mapping[str, str] | None = None,
    seed: int | None = None,
    repetitions: int = 1,
    precision: Precision | None = None,
    batch: int | None = None,
) -> list[Run]:
    """Restore a test set with several methods, skipping finished images.

    Args:
        methods: names, such as "ddnm" or ["dpi", "ddnm"].
        testset: from `bench.prepare` or `bench.testset`.
        settings: method -> setting -> value, in addition to bench.toml's.
        weights: kind of network -> checkpoint file, in addition to bench.toml's.
        seed: seed of all noise (default: bench.toml's).
        repetitions: each with its own noise.
        precision: "float32", "bfloat16" or "float16".
        batch: images at a time (default: bench.toml's, or what suits the device).

    Returns:
        One run per method and repetition, whose folder has the images and their records.

    Raises:
        BenchError: an unknown method or setting, missing weights, or a method that failed on an
            image; what was restored is kept.

    Example:
        >>> testset = bench.prepare("sample", scale=8, size=64, count=2)
        >>> [run] = bench.run("bicubic", testset)
        >>> len(run.records())
        2
    """
    here = workspace()
    names = [methods] if isinstance(methods, str) else list(methods)
    experiment = experiment_on(
        here,
        testset,
        settings=settings or {},
        weights=weights or {},
        seed=seed,
        repetitions=repetitions,
        precision=precision,
        batch=batch,
    )
    finished = run_suite(names, experiment)
    if lost := [describe(item.run.spec.method, item.failed) for item in finished if item.failed]:
        raise BenchError(f"{' '.join(lost)} Run again to retry them.")
    return [item.run for item in finished]


def experiment_on(
    here: Workspace,
    testset: TestSet,
    *,
    settings: Settings,
    weights: Mapping[str, str],
    seed: int | None = None,
    repetitions: int = 1,
    precision: Precision | None = None,
    batch: int | None = None,
    compiled: bool = False,
) -> Experiment:
    """Describe runs on a test set, with defaults from bench.toml.

    Raises:
        WrongUsage: an unknown kind of weights.
    """
    config = here.config
    check_kinds(config.weights, f"{here.config_file}.weights")
    check_kinds(weights, "--weights")
    merged = {method: dict(values) for method, values in config.settings.items()}
    for method, values in settings.items():
        merged.setdefault(method, {}).update(values)
    return Experiment(
        testset,
        here.results,
        settings=merged,
        weights={**config.weights, **weights},
        seed=config.seed if seed is None else seed,
        repetitions=repetitions,
        precision=precision or config.precision,
        batch=batch or config.batch,
        compiled=compiled,
    )


def evaluate(
    testset: TestSet,
    metrics: Sequence[str] | None = None,
    *,
    protocol: Protocol = "strict",
    reference: str | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Score all runs on a test set, reusing scores of unchanged images.

    Args:
        testset: from `bench.prepare` or `bench.testset`.
        metrics: names, such as ["psnr", "lpips-vgg"] (default: bench.toml's).
        protocol: how images are fed to metrics.
        reference: what set metrics such as FID compare with: a reference, test set, folder, archive
            or statistics file (default: bench.toml's, the recipe's, or the originals).
        device: where networks are computed: "auto", "cpu", "cuda" (all GPUs) or "cuda:N".

    Returns:
        One row per run, image and metric, with the columns run, method, repetition, image, metric,
        value and note. Metrics of whole sets have the image "". A metric that cannot be computed
        here is absent, and a derived one is replaced by its parts.

    Raises:
        BenchError: an unknown metric, or an image that cannot be read.

    Example:
        >>> testset = bench.prepare("sample", scale=8, size=64, count=2)
        >>> _ = bench.run("bicubic", testset)
        >>> scores = bench.evaluate(testset, metrics=["psnr", "ssim"])
        >>> len(scores), sorted(set(scores["metric"]))
        (4, ['psnr', 'ssim'])
    """
    here = workspace()
    chosen = chosen_metrics(here, metrics)
    measured = protocols(protocol, testset.manifest.plan.recipe)
    compared = reference_of(here, testset, reference)
    score_runs(testset, here.results, chosen, measured, reference=compared, device=device)
    adapted = columns_of(here, testset, chosen, protocol, reference)
    columns_measured = [part for metric in adapted for part in metric.parts or (metric,)]
    keys = {metric.key: metric.name for metric in columns_measured}
    rows = []
    for each in find_runs(testset, here.results, (), here.config.methods):
        scores = each.scores()
        if scores is None:
            continue
        known = scores[scores["identity"].isin(keys)]
        frame = known[["image", "value", "note"]].assign(
            run=each.folder.name,
            method=each.spec.method,
            repetition=each.spec.repetition,
            metric=[keys[identity] for identity in known["identity"]],
        )
        rows.append(frame)
    columns = ["run", "method", "repetition", "image", "metric", "value", "note"]
    if not rows:
        return pd.DataFrame(columns=columns)
    return pd.concat(rows, ignore_index=True)[columns]


def chosen_metrics(here: Workspace, names: Sequence[str] | None = None) -> list[Measure]:
    """Return the metrics of these names, or those of bench.toml.

    Raises:
        WrongUsage: no such metric.
    """
    own = configured(here.config.recognition, f"{here.config_file}.recognition")
    return [own.get(name) or find_measure(name) for name in names or here.config.metrics]


def columns_of(
    here: Workspace,
    testset: TestSet,
    metrics: Sequence[Measure],
    protocol: str,
    reference: str | None = None,
) -> list[Measure]:
    """Return the metrics as configured by a protocol, or by "both".

    `reference` is what set metrics compare with, see `bench.api.references.reference_of`.
    """
    measured = protocols(protocol, testset.manifest.plan.recipe)
    return as_measured(metrics, testset, measured, reference_of(here, testset, reference))


def table(
    testset: TestSet,
    methods: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    *,
    protocol: Protocol = "strict",
    costs: bool = False,
    intervals: bool = False,
    reference: str | None = None,
) -> "ResultTable":
    """Collect the results on a test set into a table, one row per run and its repetitions.

    Args:
        testset: from `bench.prepare` or `bench.testset`.
        methods: which, in this order (default: all).
        metrics: names (default: bench.toml's).
        protocol: protocol of the values to show.
        costs: add seconds, NFE and peak memory.
        intervals: show 95 % confidence intervals.
        reference: reference of set metrics, as in `evaluate`.

    Raises:
        BenchError: no results, or an unknown metric.

    Example:
        >>> testset = bench.prepare("sample", scale=8, size=64, count=2)
        >>> _ = bench.run("bicubic", testset)
        >>> _ = bench.evaluate(testset, metrics=["psnr"])
        >>> bench.table(testset, metrics=["psnr"]).to_dataframe().round(1)
                 psnr
        Bicubic  19.7
    """
    here = workspace()
    chosen = chosen_metrics(here, metrics)
    columns = columns_of(here, testset, chosen, protocol, reference)
    runs = find_runs(testset, here.results, methods, here.config.methods)
    return ResultTable(collected(testset, runs, columns, protocol, costs), intervals)


def collected(
    testset: TestSet,
    runs: Sequence[Reading],
    columns: Sequence[Measure],
    protocol: str,
    costs: bool = False,
) -> Table:
    """Return the table of these runs, with published values where available.

    `columns` are the metrics under `protocol`, see `columns_of`.
    """
    made = table_of(testset, runs, columns, protocol, costs)
    published = read_published(paths.resource("results/published"))
    return with_published(made, testset, first_repetitions(runs), published)


@dataclass(frozen=True, repr=False)
class ResultTable:
    """A table of results in all formats of `bench report`."""

    table: Table
    intervals: bool = False

    def to_dataframe(self) -> pd.DataFrame:
        """Return the values, one row per run and one column per metric; NaN if absent."""
        names = [column.name for column in self.table.columns]
        values = [[cell.value for cell in line] for line in self.table.cells]
        titles = [row.title for row in self.table.rows]
        return pd.DataFrame(values, index=titles, columns=names, dtype=float)

    def to_latex(self) -> str:
        """Return a float with booktabs rules."""
        return to_latex(self.table, intervals=self.intervals)

    def to_markdown(self) -> str:
        """Return a Markdown table with notes."""
        return to_markdown(self.table, intervals=self.intervals)

    def to_csv(self) -> str:
        """Return comma-separated values at full precision."""
        return to_csv(self.table)

    def to_json(self) -> str:
        """Return all numbers at full precision, with the hashes of their inputs."""
        return to_json(self.table)

    def _repr_html_(self) -> str:
        """Return the values for a notebook, rounded as printed."""
        digits = {column.name: column.digits for column in self.table.columns}
        shown = {name: f"{{:.{count}f}}".format for name, count in digits.items()}
        frame = self.to_dataframe()
        return str(frame.to_html(formatters=shown, na_rep="-"))

    def __repr__(self) -> str:
        return self.to_markdown()
