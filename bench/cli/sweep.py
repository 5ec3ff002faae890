"""Command that runs a method with many settings: sweep."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from bench.cli.options import (
    CompiledOption,
    ExperimentOptions,
    FailFastOption,
    PrecisionOption,
    WorkerOptions,
    executor_on,
    option_groups,
)
from bench.cli.shared import TestsetOption, flag, open_testset_named, say, value_of, workspace
from bench.cli.suite import ProtocolOption, score, tell_failures
from bench.core.errors import WrongUsage
from bench.core.suggest import suggestion

if TYPE_CHECKING:
    from bench.methods import Method

SWEPT = "bench.swept"
"""Key of the parsed settings in a command's context."""


class ManySettings(TyperCommand):
    """A command whose unknown options are settings of a method, each with values behind it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        rest: list[str] = []
        swept: dict[str, list[str]] = {}
        values = None
        for argument in args:
            option, equals, value = argument.partition("=")
            if option.startswith("--"):
                values = None if option in known else swept.setdefault(option, [])
            if values is None:
                rest.append(argument)
            elif not option.startswith("--"):
                values.append(argument)
            elif equals:
                values.append(value)
        ctx.meta[SWEPT] = swept
        return super().parse_args(ctx, rest)


@option_groups
def sweep(
    *,
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(help="Method; put it before all options.")],
    grid: Annotated[
        bool, flag("--grid", "Run all combinations instead of one change at a time.")
    ] = False,
    variants: Annotated[
        bool, flag("--variants", "Also run the method's named variants (ablations).")
    ] = False,
    testset_name: TestsetOption = None,
    options: ExperimentOptions,
    protocol: ProtocolOption = "strict",
    precision: PrecisionOption = None,
    compiled: CompiledOption = False,
    fail_fast: FailFastOption = False,
    machines: WorkerOptions,
) -> None:
    """Run a method with many settings and score the results.

    Every setting of the method is an option that takes several values. Without --grid, settings
    change one at a time: one run with the settings of bench.toml, and one for each value. Finished
    work is kept.
    """
    from bench.api.results import chosen_metrics
    from bench.engine.sweep import Point, combinations, one_at_a_time, run_sweep, variants_of
    from bench.methods import find_method

    opened = machines.opened()
    here = workspace()
    chosen = find_method(method)
    metrics = chosen_metrics(here)
    testset = open_testset_named(here, testset_name)
    values = _values(chosen, testset.manifest.plan.scale, ctx)
    points: list[Point] = [*(combinations if grid else one_at_a_time)(values)]
    if variants:
        points += variants_of(chosen)
    elif not values:
        raise WrongUsage(
            "Nothing to sweep: give a setting with its values, such as --steps 20 50, "
            "or --variants."
        )
    experiment = options.on(here, testset, precision, compiled)
    with opened as cluster:
        finished = run_sweep(method, points, experiment, executor_on(cluster), fail_fast)
    restored = sum(item.restored for item in finished)
    say(f"{method}: {len(finished)} runs, {restored} images restored")
    score(here, testset, metrics, protocol)
    say(f"`bench report {method}` prints the table; `bench figure tradeoff` draws it.")
    tell_failures(finished)


def _values(method: Method[Any], scale: int, ctx: typer.Context) -> dict[str, list[Any]]:
    """Return setting -> values from the options that name settings.

    Raises:
        WrongUsage: an option is unknown or has no values.
    """
    swept: dict[str, list[str]] = ctx.meta[SWEPT]
    settings = [field.name for field in dataclasses.fields(method.settings(scale))]
    own = [option for parameter in ctx.command.params for option in parameter.opts]
    values = {}
    for option, texts in swept.items():
        name = option.removeprefix("--").replace("-", "_")
        if name not in settings:
            known = [*(f"--{name}" for name in settings), *own]
            hint = suggestion(option, known, f"it has --{', --'.join(settings)}.")
            raise WrongUsage(f"{method.name} has no setting {name!r}: {hint}")
        if not texts:
            raise WrongUsage(f"{option} needs values, such as {option} 1 2.")
        values[name] = [value_of(text) for text in texts]
    return values
