"""Command that estimates the cost of a suite: plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    WeightsOption,
    check_methods,
    chosen_experiment,
    chosen_methods,
)
from bench.cli.shared import TestsetOption, open_testset_named, workspace

if TYPE_CHECKING:
    from bench.engine.forecast import Forecast


def plan(
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
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
) -> None:
    """Estimate the cost of `bench run`: NFE, time and disk space. Finished work costs nothing.

    NFE is exact. Times are extrapolated from a few evaluations on this machine and exclude
    scoring and compilation. With several GPUs, the time is that of one.
    """
    from bench.engine.forecast import forecast_suite
    from bench.engine.models import choose_device

    check_methods(methods, every)
    here = workspace()
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
    forecasts = forecast_suite(chosen_methods(here, experiment, methods, every), experiment)
    _print(forecasts, choose_device().type)


def _print(forecasts: list[Forecast], device: str) -> None:
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
