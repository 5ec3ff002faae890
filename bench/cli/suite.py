"""The commands that make results: run, evaluate."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.cluster import CpusOption, GpusOption, PlaceOption, WorkersOption, opened
from bench.cli.options import (
    BatchOption,
    ChangesOption,
    CorrectorOption,
    MethodsArgument,
    PrecisionOption,
    PriorOption,
    RepeatOption,
    SeedOption,
    StrictOption,
    WeightsOption,
)
from bench.cli.shared import TestsetOption, open_testset_named, say, value_of, workspace
from bench.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.cluster import Cluster
    from bench.config import Weights, Workspace
    from bench.engine.run import Finished
    from bench.engine.work import Executor
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
    every: Annotated[
        bool, typer.Option("--all", help="Every method that can run here and now.")
    ] = False,
    changes: ChangesOption = None,
    seed: SeedOption = None,
    batch: BatchOption = None,
    prior: PriorOption = None,
    corrector: CorrectorOption = None,
    weights: WeightsOption = None,
    repeat: RepeatOption = 1,
    protocol: ProtocolOption = Choice.STRICT,
    precision: PrecisionOption = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile networks: a minute first, quicker then.")
    ] = False,
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
    from bench.engine.overview import runnable
    from bench.engine.run import run_suite

    if every and methods:
        raise WrongUsage(f"--all and {methods[0]} exclude each other: choose one.")
    machines = opened(place, workers, cpus_per_worker, gpus_per_worker)
    here = workspace()
    config = here.config
    metrics = chosen_metrics(here)  # an unknown one is to be found before the work
    testset = open_testset_named(here, on)
    plan = testset.manifest.plan
    settings = merged_settings(config.settings, changes or [])
    chosen = chosen_weights(config.weights, weights or [], prior=prior, corrector=corrector)
    with machines as cluster:
        finished = run_suite(
            names=(
                runnable(plan.size, plan.scale, settings, chosen)
                if every
                else methods or config.methods
            ),
            settings=settings,
            testset=testset,
            results=here.results,
            weights=chosen,
            seed=config.seed if seed is None else seed,
            batch=batch or config.batch,
            repetitions=repeat,
            strict=strict,
            executor=_executor(cluster),
            precision=precision.value if precision else config.precision,
            compiled=compiled,
        )
    for item in finished:
        done = f"{item.restored} images restored" if item.restored else "was done already"
        if item.failed:
            done = f"{item.restored} images restored, {len(item.failed)} failed"
        say(f"{item.run.spec.method}: {done}, in {item.run.folder}")
        for reason in item.run.description["provenance"].get("not_promised", ()):
            say(f"{item.run.spec.method}: run again it may differ. {reason}", err=True)
    score(here, testset, metrics, protocol)
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


def _executor(cluster: Cluster | None) -> Executor | None:
    if cluster is None:
        return None
    from bench.engine.cluster import OnCluster

    return OnCluster(cluster)


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


def merged_settings(
    settings: Mapping[str, Mapping[str, Any]], changes: list[str]
) -> dict[str, dict[str, Any]]:
    """bench.toml's settings with those of --set, whose values are read as TOML.

    Raises:
        WrongUsage: a change that is not METHOD.NAME=VALUE.
    """
    merged = {method: dict(values) for method, values in settings.items()}
    for change in changes:
        target, equals, text = change.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise WrongUsage(f"--set {change} is not of the form METHOD.NAME=VALUE.")
        merged.setdefault(method, {})[name] = value_of(text)
    return merged


def chosen_weights(weights: Weights, choices: list[str], **options: str | None) -> Weights:
    """bench.toml's checkpoints, with those of the options and of --weights in their place.

    Raises:
        WrongUsage: a choice that is not KIND=FILE, or an unknown kind.
    """
    from bench.typed import override

    chosen = {kind: file for kind, file in options.items() if file}
    for choice in choices:
        kind, equals, file = choice.partition("=")
        if not (equals and kind and file):
            raise WrongUsage(f"--weights {choice} is not of the form KIND=FILE.")
        chosen[kind] = file
    return override(weights, chosen, "--weights")
