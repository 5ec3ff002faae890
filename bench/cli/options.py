"""Options shared by commands that run or plan methods, and the experiment they describe.

Typer reads options from each command's parameters, so every command repeats the names; their
combined meaning is defined here only.
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


MethodsArgument = Annotated[
    list[str] | None, typer.Argument(help="Methods (default: those in bench.toml).")
]
EveryOption = Annotated[
    bool, typer.Option("--all", help="Run every method whose prerequisites are met.")
]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Setting as METHOD.NAME=VALUE; may be repeated."),
]
SeedOption = Annotated[int | None, typer.Option(help="Random seed (default: from bench.toml).")]
BatchOption = Annotated[
    int | None,
    typer.Option(
        help=(
            "Batch size (default: from bench.toml, else 8 on a CPU and as many as fit on a GPU)."
        ),
        min=1,
    ),
]
PriorOption = Annotated[str | None, typer.Option(help="Prior: a checkpoint or hf:OWNER/NAME.")]
CorrectorOption = Annotated[str | None, typer.Option(help="Corrector checkpoint.")]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(help="Checkpoint of any network as KIND=FILE; may be repeated."),
]
RepeatOption = Annotated[
    int, typer.Option(help="Number of repetitions, each with its own noise.", min=1)
]
PrecisionOption = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="Precision of the networks (default: from bench.toml)."),
]
CompiledOption = Annotated[
    bool, typer.Option("--compile", help="Compile the networks; takes about a minute once.")
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
    """Return the experiment described by the options, with defaults from bench.toml.

    Raises:
        WrongUsage: a setting or checkpoint is malformed.
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
    """Check that methods are not given together with --all.

    Raises:
        WrongUsage: both are given.
    """
    if every and methods:
        raise WrongUsage(f"--all and {methods[0]} exclude each other: choose one.")


def chosen_methods(
    here: Workspace, experiment: Experiment, methods: list[str] | None, every: bool
) -> Sequence[str]:
    """Return the named methods, all that can run here, or those of bench.toml."""
    from bench.engine.availability import all_methods

    if every:
        size, scale = experiment.plan.size, experiment.plan.scale
        found = all_methods(size, scale, experiment.settings, experiment.weights, here.results)
        return [method.name for method in found if method.runs]
    return methods or here.config.methods


def changed_settings(changes: list[str]) -> dict[str, dict[str, Any]]:
    """Parse --set into method -> setting -> value, with values read as TOML.

    Raises:
        WrongUsage: an item is not METHOD.NAME=VALUE.
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
    """Return kind -> checkpoint from --weights, --prior and --corrector.

    Raises:
        WrongUsage: an item is not KIND=FILE.
    """
    chosen = {kind: file for kind, file in options.items() if file}
    for choice in choices:
        kind, equals, file = choice.partition("=")
        if not (equals and kind and file):
            raise WrongUsage(f"--weights {choice} is not of the form KIND=FILE.")
        chosen[kind] = file
    return chosen
