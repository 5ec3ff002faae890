"""The commands that make results: run, evaluate."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

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
from bench.cli.shared import TestsetOption, open_testset_named, say, workspace
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.config import Workspace
    from bench.engine.run import Finished
    from bench.metrics import Measure
    from bench.parallel import Spread
    from bench.testset.manifest import TestSet


class Choice(StrEnum):
    """By which protocols results are measured."""

    STRICT = "strict"
    PAPER = "paper"
    BOTH = "both"


ProtocolOption = Annotated[
    Choice, typer.Option("--protocol", help="strict, or the released scripts' for comparison.")
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="A metric; may be repeated. Else bench.toml's."),
]


def run(
    methods: MethodsArgument = None,
    on: TestsetOption = None,
    every: EveryOption = False,
    changes: ChangesOption = None,
    seed: SeedOption = None,
    batch: BatchOption = None,
    prior: PriorOption = None,
    corrector: CorrectorOption = None,
    weights: WeightsOption = None,
    repeat: RepeatOption = 1,
    protocol: ProtocolOption = Choice.STRICT,
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
    strict: StrictOption = False,
    place: PlaceOption = None,
    workers: WorkersOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
) -> None:
    """Run methods on a test set and score their results; what is done already is kept.

    An image that a method fails on is recorded with the reason and the rest goes on; the same
    command tries it again.
    """
    from bench.engine.run import run_suite

    check_methods(methods, every)
    machines = opened(place, workers, cpus_per_worker, gpus_per_worker)
    here = workspace()
    metrics = chosen_metrics(here)  # an unknown one is to be found before the work
    experiment = chosen_experiment(
        here,
        open_testset_named(here, on),
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
            say(f"{item.run.spec.method}: run again it may differ. {reason}", err=True)
    score(here, experiment.testset, metrics, protocol)
    typer.echo("`bench report` prints the table.")
    tell_failures(finished)


def tell_failures(finished: Sequence[Finished]) -> None:
    """End with what failed, if anything did.

    Raises:
        BenchError: an image failed.
    """
    from bench.engine.run import describe

    lost = [describe(item.run.spec.method, item.failed) for item in finished if item.failed]
    if lost:
        raise BenchError(f"{' '.join(lost)} The same command tries them again.")


def evaluate(
    on: TestsetOption = None,
    protocol: ProtocolOption = Choice.STRICT,
    names: MetricOption = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail where a metric can't be computed.")
    ] = False,
    place: PlaceOption = None,
    workers: WorkersOption = None,
) -> None:
    """Score every result on a test set by the metrics that it lacks."""
    machines = opened(place, workers)
    here = workspace()
    metrics = chosen_metrics(here, names)
    testset = open_testset_named(here, on)
    if require_all and (reasons := _reasons(testset, metrics, protocol)):
        raise BenchError(" ".join(reasons))
    with machines as cluster:
        score(here, testset, metrics, protocol, cluster.map if cluster else None)


def chosen_metrics(here: Workspace, names: Sequence[str] | None = None) -> list[Measure]:
    """The metrics of these names, or those that bench.toml names.

    Raises:
        WrongUsage: there is no such metric.
    """
    from bench import metrics
    from bench.metrics.recognition import configured

    own = configured(here.config.recognition, f"{here.config_file}.recognition")
    return [own.get(name) or metrics.find_measure(name) for name in names or here.config.metrics]


def _reasons(testset: TestSet, metrics: Sequence[Measure], protocol: Choice) -> list[str]:
    """A sentence for each reason for which metrics can't be computed here."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report.collect import impossible

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    titles: dict[str, dict[str, None]] = {}
    for metric in as_measured(metrics, testset, chosen):
        if reason := impossible(metric, testset):
            titles.setdefault(reason, {})[metric.title] = None
    return [f"No {', '.join(lost)}: {reason}" for reason, lost in titles.items()]


def score(
    here: Workspace,
    testset: TestSet,
    metrics: Sequence[Measure],
    protocol: Choice,
    spread: Spread | None = None,
) -> None:
    """Score all runs on a test set; say which metrics can't be computed here."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import score_runs

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    score_runs(testset, here.results, metrics, chosen, spread)
    for reason in _reasons(testset, metrics, protocol):
        say(reason, err=True)
