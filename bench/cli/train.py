"""The commands that train: a prior, a Corrector, or SR3."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.training.loop import TrainingSettings

Data = Annotated[Path, typer.Option(help="Folder or zip of face images.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoint and weights.")]
Size = Annotated[int, typer.Option(help="Height and width in pixels.")]
Steps = Annotated[int, typer.Option(help="Optimiser steps.", min=1)]
Batch = Annotated[int, typer.Option(help="Images per step.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of weights, batches and noise.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="Highest learning rate.")]


class Precision(StrEnum):
    """Number format of the network's passes; weights stay float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Form(StrEnum):
    """Whose Corrector loss: the paper's Eq. 15 to 18, or the released code's."""

    PAPER = "paper"
    RELEASED = "released"


class Norm(StrEnum):
    """Norm of SR3's loss; the released configurations take the first."""

    L1 = "l1"
    L2 = "l2"


Autocast = Annotated[Precision, typer.Option(help="bfloat16 is faster where the CPU has it.")]


def prior(
    data: Data,
    out: Out,
    size: Size = 64,
    steps: Steps = 10_000,
    batch: Batch = 16,
    learning_rate: Rate = 5e-4,
    seed: Seed = 0,
    precision: Autocast = Precision.FLOAT32,
) -> None:
    """Train a diffusion prior; stopped or killed, the same command goes on."""
    from bench.training.tasks import train_prior

    settings = _settings(steps, batch, learning_rate, seed, precision)
    typer.echo(f"Wrote {train_prior(data, size, settings, out)}")


def crt(
    data: Data,
    out: Out,
    scale: Annotated[int, typer.Option(help="Scale that it corrects for.")] = 8,
    size: Size = 64,
    k: Annotated[int, typer.Option(help="Spacing of the condition's grid.")] = 2,
    form: Annotated[Form, typer.Option(help="Loss: the paper's or the released code's.")] = (
        Form.PAPER
    ),
    start: Annotated[
        Path | None, typer.Option("--start-from", help="Corrector to begin with, of any scale.")
    ] = None,
    steps: Steps = 2_000,
    batch: Batch = 16,
    learning_rate: Rate = 5e-4,
    seed: Seed = 0,
    precision: Autocast = Precision.FLOAT32,
) -> None:
    """Train a Corrector for DPI; stopped or killed, the same command goes on."""
    from bench.training.tasks import train_corrector

    settings = _settings(steps, batch, learning_rate, seed, precision)
    typer.echo(f"Wrote {train_corrector(data, size, scale, k, form.value, settings, out, start)}")


def sr3(
    data: Data,
    out: Out,
    scale: Annotated[int, typer.Option(help="Scale that it restores.")] = 8,
    size: Size = 64,
    norm: Annotated[Norm, typer.Option(help="Norm of the loss.")] = Norm.L1,
    start: Annotated[
        Path | None, typer.Option("--start-from", help="SR3 to begin with, of any scale.")
    ] = None,
    steps: Steps = 10_000,
    batch: Batch = 16,
    learning_rate: Rate = 1e-4,
    seed: Seed = 0,
    precision: Autocast = Precision.FLOAT32,
) -> None:
    """Train SR3's network; stopped or killed, the same command goes on."""
    from bench.training.tasks import train_sr3

    settings = _settings(steps, batch, learning_rate, seed, precision)
    typer.echo(f"Wrote {train_sr3(data, size, scale, norm.value, settings, out, start)}")


def _settings(
    steps: int, batch: int, learning_rate: float, seed: int, precision: Precision
) -> TrainingSettings:
    from bench.training.loop import TrainingSettings

    return TrainingSettings(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        precision=precision.value,
    )
