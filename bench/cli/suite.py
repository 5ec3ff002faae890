"""Commands that plan or produce results: plan, run, evaluate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import (
    CompiledOption,
    ExperimentOptions,
    FailFastOption,
    PrecisionOption,
    SuiteOptions,
    WorkerOptions,
    executor_on,
    option_groups,
)
from bench.cli.reference import DeviceOption, ReferenceOption
from bench.cli.shared import TestsetOption, echo, flag, open_testset_named, say, workspace
from bench.core.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.concurrency import OrderedMap
    from bench.core.config import Workspace
    from bench.engine.forecast import Forecast
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


@option_groups
def plan(
    *,
    chosen: SuiteOptions,
    options: ExperimentOptions,
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
) -> None:
    """Estimate the cost of `bench run`: NFE, time and disk space. Finished work costs nothing.

    NFE is exact. Times are extrapolated from a few evaluations on this machine and exclude
    scoring and compilation. With several GPUs, the time is that of one.
    """
    from bench.engine.forecast import forecast_suite
    from bench.engine.models import choose_device

    here = workspace()
    testset = open_testset_named(here, chosen.testset_name)
    experiment = options.on(here, testset, precision, compiled)
    forecasts = forecast_suite(chosen.names(here, experiment), experiment)
    _print_forecasts(forecasts, choose_device().type)


def _print_forecasts(forecasts: list[Forecast], device: str) -> None:
    """Print one row per method and the totals."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Method")
    for heading in ("Images", "NFE", "s/image", "Time", "Disk"):
        table.add_column(heading, justify="right")
    for item in forecasts:
        each = None if item.seconds is None else (item.seconds - item.loading) / (item.images or 1)
        table.add_row(
            item.title,
            f"{item.images:,}",
            "?" if item.calls is None else f"{item.calls:,}",
            "?" if each is None else f"{each:.3g}",
            "?" if item.seconds is None else _duration(item.seconds),
            f"{item.disk / 2**20:,.1f} MiB",
        )
    console = Console(highlight=False)
    console.print(table)
    seconds = sum(item.seconds or 0 for item in forecasts)
    calls = sum(item.calls or 0 for item in forecasts)
    disk = sum(item.disk for item in forecasts) / 2**20
    unit = "GPU hours" if device == "cuda" else "hours on the CPU"
    console.print(
        f"Total: {calls:,} NFE, {_duration(seconds)} ({seconds / 3600:.3g} {unit}), "
        f"{disk:,.1f} MiB, without scoring."
    )
    if unknown := [item.title for item in forecasts if item.seconds is None]:
        console.print(f"Unknown: {', '.join(unknown)} (external programs).")


def _duration(seconds: float) -> str:
    """Format seconds as 4.2 s, 3 min 20 s or 5 h 03 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


@option_groups
def run(
    *,
    chosen: SuiteOptions,
    options: ExperimentOptions,
    protocol: ProtocolOption = "strict",
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
    fail_fast: FailFastOption = False,
    machines: WorkerOptions,
) -> None:
    """Run methods on a test set and score the results. Finished work is kept.

    If a method fails on an image, the reason is recorded and the run continues; run the same
    command to retry.
    """
    from bench.api.results import chosen_metrics
    from bench.engine.run import run_suite

    opened = machines.opened()
    here = workspace()
    metrics = chosen_metrics(here)  # find unknown names before the work
    testset = open_testset_named(here, chosen.testset_name)
    experiment = options.on(here, testset, precision, compiled)
    names = chosen.names(here, experiment)
    with opened as cluster:
        finished = run_suite(names, experiment, executor_on(cluster), fail_fast)
    for item in finished:
        done = f"{item.restored} images restored" if item.restored else "was done already"
        if item.failed:
            done = f"{item.restored} images restored, {len(item.failed)} failed"
        say(f"{item.run.spec.method}: {done}, in {item.run.folder}")
        for reason in item.run.description["provenance"].get("not_promised", ()):
            say(f"{item.run.spec.method}: repeated runs may differ. {reason}", err=True)
    score(here, testset, metrics, protocol)
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


@option_groups
def evaluate(
    *,
    testset_name: TestsetOption = None,
    protocol: ProtocolOption = "strict",
    names: MetricOption = None,
    preset: PresetOption = None,
    reference: ReferenceOption = None,
    require_all: Annotated[
        bool, flag("--require-all", "Fail if a metric cannot be computed.")
    ] = False,
    device: DeviceOption = "auto",
    machines: WorkerOptions,
) -> None:
    """Compute missing metrics for all results on a test set."""
    from bench.api.results import chosen_metrics

    if machines.place is not None and device not in ("auto", "cpu"):
        raise WrongUsage(f"--device {device} is for this machine: with --on, give auto or cpu.")
    opened = machines.opened()
    here = workspace()
    metrics = chosen_metrics(here, named_metrics(names, preset))
    testset = open_testset_named(here, testset_name)
    if require_all and (reasons := _reasons(here, testset, metrics, protocol, reference)):
        raise BenchError(" ".join(reasons))
    with opened as cluster:
        gpus = cluster.gpus if cluster and device == "auto" else 0
        spread = partial(cluster.map, gpus=gpus) if cluster else None
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
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring.evaluate import score_runs

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    compared = reference_of(here, testset, reference)
    score_runs(testset, here.results, metrics, chosen, spread, compared, device)
    for reason in _reasons(here, testset, metrics, protocol, reference):
        say(reason, err=True)
