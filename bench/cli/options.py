"""Options of the commands that run methods or say what it costs, and the experiment they mean.

Typer reads a command's options off its parameters, so that each command lists them; what they mean
together is said here alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli.shared import value_of
from bench.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.config import Precision, Workspace
    from bench.engine.experiment import Experiment
    from bench.testsets.manifest import TestSet


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
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="What networks compute in; else bench.toml's."),
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
    precision: Precision | None = None,
    compiled: bool = False,
) -> Experiment:
    """Return the experiment that the options describe; the rest comes from bench.toml.

    Raises:
        WrongUsage: a setting or a checkpoint that is not of the form its option wants.
    """
    from bench.api.results import experiment_on

    return experiment_on(
        here,
        testset,
        settings=changed_settings(changes or []),
        weights=chosen_weights(weights or [], prior=prior, corrector=corrector),
        seed=seed,
        repetitions=repeat,
        precision=precision,
        batch=batch,
        compiled=compiled,
    )


def check_methods(methods: list[str] | None, every: bool) -> None:
    """Return whether the choice of methods is one.

    Raises:
        WrongUsage: there are two.
    """
    if every and methods:
        raise WrongUsage(f"--all and {methods[0]} exclude each other: choose one.")


def chosen_methods(
    here: Workspace, experiment: Experiment, methods: list[str] | None, every: bool
) -> Sequence[str]:
    """Return the named methods, all that can run here, or those of bench.toml."""
    from bench.engine.availability import runnable

    if every:
        plan = experiment.plan
        return runnable(plan.size, plan.scale, experiment.settings, experiment.weights)
    return methods or here.config.methods


def changed_settings(changes: list[str]) -> dict[str, dict[str, Any]]:
    """Return method -> setting -> value of --set, whose values are read as TOML.

    Raises:
        WrongUsage: a change that is not METHOD.NAME=VALUE.
    """
    settings: dict[str, dict[str, Any]] = {}
    for change in changes:
        target, equals, text = change.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise WrongUsage(f"--set {change} is not of the form METHOD.NAME=VALUE.")
        settings.setdefault(method, {})[name] = value_of(text)
    return settings


def chosen_weights(choices: list[str], **options: str | None) -> dict[str, str]:
    """Return kind -> checkpoint of --weights and of the options for single kinds.

    Raises:
        WrongUsage: a choice that is not KIND=FILE.
    """
    chosen = {kind: file for kind, file in options.items() if file}
    for choice in choices:
        kind, equals, file = choice.partition("=")
        if not (equals and kind and file):
            raise WrongUsage(f"--weights {choice} is not of the form KIND=FILE.")
        chosen[kind] = file
    return chosen
