"""Options of the commands that run methods or say what it costs, and the experiment they mean.

Typer reads a command's options off its parameters, so that each command lists them; what they mean
together is said here alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.shared import value_of
from bench.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.config import Weights, Workspace
    from bench.engine.experiment import Experiment
    from bench.testset.manifest import TestSet


class Computed(StrEnum):
    """What networks compute in: `bench.config.Precision`, as options are declared."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


MethodsArgument = Annotated[list[str] | None, typer.Argument(help="Methods; else bench.toml's.")]
EveryOption = Annotated[bool, typer.Option("--all", help="Every method that can run here and now.")]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, as METHOD.NAME=VALUE; may be repeated."),
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of all noise.")]
BatchOption = Annotated[
    int | None, typer.Option(help="Images at a time; else bench.toml's, or what suits.", min=1)
]
PriorOption = Annotated[str | None, typer.Option(help="Checkpoint of the prior.")]
CorrectorOption = Annotated[str | None, typer.Option(help="Checkpoint of the Corrector.")]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(help="Checkpoint of any network, as KIND=FILE; may be repeated."),
]
RepeatOption = Annotated[int, typer.Option(help="Repetitions, each with noise of its own.", min=1)]
PrecisionOption = Annotated[
    Computed | None, typer.Option(help="What networks compute in; else bench.toml's.")
]
CompiledOption = Annotated[
    bool, typer.Option("--compile", help="Compile networks: a minute first, quicker then.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first image that fails.")]


def chosen_experiment(
    here: Workspace,
    testset: TestSet,
    *,
    changes: list[str] | None = None,
    seed: int | None = None,
    batch: int | None = None,
    prior: str | None = None,
    corrector: str | None = None,
    weights: list[str] | None = None,
    repeat: int = 1,
    precision: Computed | None = None,
    compiled: bool = False,
) -> Experiment:
    """What the options mean on a test set; what they leave open is bench.toml's.

    Raises:
        WrongUsage: a setting or a checkpoint that is not of the form its option wants.
    """
    from bench.engine.experiment import Experiment

    config = here.config
    return Experiment(
        testset,
        here.results,
        settings=merged_settings(config.settings, changes or []),
        weights=_weights(config.weights, weights or [], prior=prior, corrector=corrector),
        seed=config.seed if seed is None else seed,
        repetitions=repeat,
        precision=precision.value if precision else config.precision,
        batch=batch or config.batch,
        compiled=compiled,
    )


def check_methods(methods: list[str] | None, every: bool) -> None:
    """Whether the choice of methods is one.

    Raises:
        WrongUsage: there are two.
    """
    if every and methods:
        raise WrongUsage(f"--all and {methods[0]} exclude each other: choose one.")


def chosen_methods(
    here: Workspace, experiment: Experiment, methods: list[str] | None, every: bool
) -> Sequence[str]:
    """The methods named, or all that can run here, else those of bench.toml."""
    from bench.engine.overview import runnable

    if every:
        plan = experiment.plan
        return runnable(plan.size, plan.scale, experiment.settings, experiment.weights)
    return methods or here.config.methods


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


def _weights(weights: Weights, choices: list[str], **options: str | None) -> Weights:
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
