"""Commands that produce results: run, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.cluster import (
    CpusOption,
    GpusOption,
    PlaceOption,
    WorkersOption,
    executor_on,
    opened,
)
from bench.cli.options import (
    BatchOption,
    ChangesOption,
    CompiledOption,
    CorrectorOption,
    EveryOption,
    MethodsArgument,
    PrecisionOption,
    PriorOption,
    RepeatOption,
    SeedOption,
    StrictOption,
    WeightsOption,
    check_methods,
    chosen_experiment,
    chosen_methods,
)
from bench.cli.reference import DeviceOption, ReferenceOption
from bench.cli.shared import TestsetOption, echo, open_testset_named, say, workspace
from bench.core.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.concurrency import OrderedMap
    from bench.core.config import Workspace
    from bench.engine.run import Finished
    from bench.metrics import Measure
    from bench.testsets.manifest import TestSet


Choice = Literal["strict", "paper", "both", "daps", "pnp-dm"]
"""Protocols by which results are measured."""

ProtocolOption = Annotated[
    Choice,
    typer.Option(
        "--protocol",
        help="Measurement protocol: strict (default), or that of a paper's released code.",
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Metric; may be repeated (default: those in bench.toml)."),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--metrics-preset",
        help="Named set of metrics: paper, blind-2025, ntire-faces or protocols.",
    ),
]


def named_metrics(names: list[str] | None, preset: str | None) -> list[str] | None:
    """Return the metrics of --metrics-preset and --metric; None if neither is given.

    Raises:
        WrongUsage: the preset does not exist.
    """
    from bench.metrics.presets import metrics_preset

    if preset is None:
        return names
    return list(dict.fromkeys((*metrics_preset(preset), *(names or ()))))


def run(
    methods: MethodsArgument = None,
    testset_name: TestsetOption = None,
    every: EveryOption = False,
    changes: ChangesOption = None,
    seed: SeedOption = None,
    batch: BatchOption = None,
    prior: PriorOption = None,
    corrector: CorrectorOption = None,
    weights: WeightsOption = None,
    repeat: RepeatOption = 1,
    protocol: ProtocolOption = "strict",
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
    strict: StrictOption = False,
    place: PlaceOption = None,
    workers: WorkersOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
) -> None:
    """Run methods on a test set and score the results. Finished work is kept.

    If a method fails on an image, the reason is recorded and the run continues; run the same
    command to retry.
    """
    from bench.api.results import chosen_metrics
    from bench.engine.run import run_suite

    check_methods(methods, every)
    machines = opened(place, workers, cpus_per_worker, gpus_per_worker)
    here = workspace()
    metrics = chosen_metrics(here)  # find unknown names before the work
    experiment = chosen_experiment(
        here,
        open_testset_named(here, testset_name),
        changes=changes,
        seed=seed,
        batch=batch,
        prior=prior,
        corrector=corrector,
        weights=weights,
        repeat=repeat,
        precision=precision,
        compiled=compiled,
    )
    names = chosen_methods(here, experiment, methods, every)
    with machines as cluster:
        finished = run_suite(names, experiment, executor_on(cluster), strict)
    for item in finished:
        done = f"{item.restored} images restored" if item.restored else "was done already"
        if item.failed:
            done = f"{item.restored} images restored, {len(item.failed)} failed"
        say(f"{item.run.spec.method}: {done}, in {item.run.folder}")
        for reason in item.run.description["provenance"].get("not_promised", ()):
            say(f"{item.run.spec.method}: repeated runs may differ. {reason}", err=True)
    score(here, experiment.testset, metrics, protocol)
    echo("`bench report` prints the table.")
    tell_failures(finished)


def tell_failures(finished: Sequence[Finished]) -> None:
    """Report failed images.

    Raises:
        BenchError: at least one image failed.
    """
    from bench.engine.run import describe

    lost = [describe(item.run.spec.method, item.failed) for item in finished if item.failed]
    if lost:
        raise BenchError(f"{' '.join(lost)} Run the same command to retry.")


def evaluate(
    testset_name: TestsetOption = None,
    protocol: ProtocolOption = "strict",
    names: MetricOption = None,
    preset: PresetOption = None,
    reference: ReferenceOption = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail if a metric cannot be computed.")
    ] = False,
    device: DeviceOption = "auto",
    place: PlaceOption = None,
    workers: WorkersOption = None,
) -> None:
    """Compute missing metrics for all results on a test set."""
    from bench.api.results import chosen_metrics

    machines = opened(place, workers)
    here = workspace()
    metrics = chosen_metrics(here, named_metrics(names, preset))
    testset = open_testset_named(here, testset_name)
    if require_all and (reasons := _reasons(here, testset, metrics, protocol, reference)):
        raise BenchError(" ".join(reasons))
    with machines as cluster:
        spread = cluster.map if cluster else None
        score(here, testset, metrics, protocol, spread, reference, device)


def _reasons(
    here: Workspace,
    testset: TestSet,
    metrics: Sequence[Measure],
    protocol: Choice,
    reference: str | None,
) -> list[str]:
    """Return one sentence per reason why metrics cannot be computed."""
    from bench.api.results import columns_of
    from bench.report.tables.collect import impossible

    titles: dict[str, dict[str, None]] = {}
    for metric in columns_of(here, testset, metrics, protocol, reference):
        if reason := impossible(metric, testset):
            titles.setdefault(reason, {})[metric.title] = None
    return [f"No {', '.join(lost)}: {reason}" for reason, lost in titles.items()]


def score(
    here: Workspace,
    testset: TestSet,
    metrics: Sequence[Measure],
    protocol: Choice,
    spread: OrderedMap | None = None,
    reference: str | None = None,
    device: str = "auto",
) -> None:
    """Score all runs on a test set and print which metrics cannot be computed."""
    from bench.api.references import reference_of
    from bench.metrics.evaluate import score_runs
    from bench.metrics.protocol import protocols

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    compared = reference_of(here, testset, reference)
    score_runs(testset, here.results, metrics, chosen, spread, compared, device)
    for reason in _reasons(here, testset, metrics, protocol, reference):
        say(reason, err=True)
