"""Options that several commands share: which settings, networks, noise and batches."""

from enum import StrEnum
from typing import Annotated

import typer


class Computed(StrEnum):
    """What networks compute in: `bench.config.Precision`, as options are declared."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


MethodsArgument = Annotated[list[str] | None, typer.Argument(help="Methods; else bench.toml's.")]
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
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first image that fails.")]
