"""Commands that train networks: prior, crt, sr3, again."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import Precision, option_groups
from bench.cli.shared import flag, say, workspace

if TYPE_CHECKING:
    from bench.training.tasks import TrainingTask

Data = Annotated[Path, typer.Option(help="Folder or zip of face images.")]
Out = Annotated[Path, typer.Option(help="Output folder for checkpoints, weights, samples and log.")]
Size = Annotated[int, typer.Option(help="Image size in pixels.")]
Start = Annotated[
    Path | None, typer.Option("--start-from", help="Initial weights, of the same architecture.")
]
Every = Annotated[int, typer.Option(help="Steps between saved training states.", min=1)]
Changed = Annotated[
    bool, flag("--changed-data", "Accept images that differ from the recorded ones.")
]


@dataclass(frozen=True)
class TrainingOptions:
    """Options of every training."""

    data: Data
    out: Out
    configuration: Annotated[
        Literal["small", "paper"],
        typer.Option("--preset", help="paper: batch 32, 100k steps, AdamW 1e-5, EMA 0.9999."),
    ] = "small"
    start: Start = None
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)] = None
    batch: Annotated[
        int | None, typer.Option(help="Images per step over all processes.", min=1)
    ] = None
    accumulate: Annotated[
        int | None, typer.Option(help="Gradient accumulation: passes per step.", min=1)
    ] = None
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Peak learning rate.", min=0)
    ] = None
    ema: Annotated[
        float | None, typer.Option(help="Decay of the EMA of the weights.", min=0, max=1)
    ] = None
    seed: Annotated[int | None, typer.Option(help="Random seed of weights, batches and noise.")] = (
        None
    )
    precision: Annotated[
        Precision | None,
        typer.Option(help="Precision (default: bfloat16 where the hardware has units for it)."),
    ] = None
    compiled: Annotated[bool, flag("--compile", "Compile the network; takes minutes once.")] = False
    every: Every = 500
    changed_data: Changed = False
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Recipe of the images, such as ffhq; tables then note an overlap with it."
        ),
    ] = None

    def train(self, task: "TrainingTask") -> None:
        """Train a task, and print the file that was written."""
        from bench.testsets.recipe import find_recipe
        from bench.training.processes import native_precision
        from bench.training.settings import preset
        from bench.training.tasks import run_task

        if self.dataset is not None:
            find_recipe(self.dataset, workspace().datasets)
            task = task.with_dataset(self.dataset)
        settings = preset(
            self.configuration,
            steps=self.steps,
            batch=self.batch,
            accumulate=self.accumulate,
            learning_rate=self.learning_rate,
            ema=self.ema,
            seed=self.seed,
            precision=self.precision or native_precision(),
            compiled=self.compiled,
        )
        if path := run_task(
            task, self.data, settings, self.out, self.start, self.every, self.changed_data
        ):
            say(f"Wrote {path}")


@option_groups
def prior(
    *,
    size: Size = 64,
    prediction: Annotated[
        Literal["eps", "v"], typer.Option(help="Prediction target: eps or v (velocity).")
    ] = "v",
    options: TrainingOptions,
) -> None:
    """Train a diffusion prior. Run the same command to resume."""
    from bench.training.tasks import prior_task

    options.train(prior_task(size, prediction))


@option_groups
def crt(
    *,
    scale: Annotated[
        int | None, typer.Option(help="Downscaling factor of the bicubic degradation (default: 8).")
    ] = None,
    degradation: Annotated[
        Literal["bicubic", "blind", "severe"],
        typer.Option(help="Degradation to correct: bicubic, blind or severe."),
    ] = "bicubic",
    size: Size = 64,
    k: Annotated[int, typer.Option(help="Spacing k of the condition's grid in pixels.")] = 2,
    form: Annotated[
        Literal["paper", "released"],
        typer.Option(help="Loss: paper (Eq. 15 to 18) or released (that of the code)."),
    ] = "paper",
    prior: Annotated[
        Path | None,
        typer.Option(help="Prior whose noise estimates replace the true noise in training."),
    ] = None,
    options: TrainingOptions,
) -> None:
    """Train a Corrector for DPI. Run the same command to resume."""
    from bench.training.tasks import corrector_task

    if scale is None:
        scale = 8 if degradation == "bicubic" else 1
    options.train(corrector_task(size, scale, k, form, degradation, prior))


@option_groups
def sr3(
    *,
    scale: Annotated[int, typer.Option(help="Downscaling factor.")] = 8,
    size: Size = 64,
    norm: Annotated[Literal["l1", "l2"], typer.Option(help="Norm of the loss.")] = "l1",
    options: TrainingOptions,
) -> None:
    """Train SR3's network. Run the same command to resume."""
    from bench.training.tasks import sr3_task

    options.train(sr3_task(size, scale, norm))


def again(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint written by `bench train`.")],
    data: Data,
    out: Out,
    start: Start = None,
    steps: Annotated[
        int | None, typer.Option(help="Number of steps (default: the card's).", min=1)
    ] = None,
    every: Every = 500,
    changed_data: Changed = False,
) -> None:
    """Retrain a network from the card in its header. Run the same command to resume."""
    from bench.training.again import train_again

    if path := train_again(checkpoint, data, out, start, steps, every, changed_data):
        say(f"Wrote {path}")
