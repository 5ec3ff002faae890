"""Commands that train networks: prior, crt, sr3, again.

Each function maps its own options to a task; `_command` adds the shared options and trains.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli.shared import say, workspace

if TYPE_CHECKING:
    from bench.training.tasks import TrainingTask


Precision = Literal["float32", "bfloat16", "float16"]
Degradation = Literal["bicubic", "blind", "severe"]

Data = Annotated[Path, typer.Option(help="Folder or zip of face images.")]
Out = Annotated[Path, typer.Option(help="Output folder for checkpoints, weights, samples and log.")]
Size = Annotated[int, typer.Option(help="Image size in pixels.")]
Configuration = Annotated[
    Literal["small", "paper"],
    typer.Option("--preset", help="paper: batch 32, 100k steps, AdamW 1e-5, EMA 0.9999."),
]
Start = Annotated[
    Path | None,
    typer.Option("--start-from", help="Initial weights, of the same architecture."),
]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)]
Batch = Annotated[int | None, typer.Option(help="Images per step over all processes.", min=1)]
Accumulate = Annotated[
    int | None, typer.Option(help="Gradient accumulation: passes per step.", min=1)
]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.", min=0)]
Ema = Annotated[float | None, typer.Option(help="Decay of the EMA of the weights.", min=0, max=1)]
Seed = Annotated[int | None, typer.Option(help="Random seed of weights, batches and noise.")]
Autocast = Annotated[
    Precision | None,
    typer.Option(help="Precision (default: bfloat16 where the hardware has units for it)."),
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Compile the network; takes minutes once.")
]
Every = Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)]
Changed = Annotated[
    bool, typer.Option("--changed-data", help="Resume even if the images have changed.")
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Recipe of the images, such as ffhq; tables then note an overlap with it."),
]


def _train(
    task: "TrainingTask",
    data: Data,
    out: Out,
    configuration: Configuration = "small",
    start: Start = None,
    steps: Steps = None,
    batch: Batch = None,
    accumulate: Accumulate = None,
    learning_rate: Rate = None,
    ema: Ema = None,
    seed: Seed = None,
    precision: Autocast = None,
    compiled: Compiled = False,
    every: Every = 500,
    changed_data: Changed = False,
    dataset: Dataset = None,
) -> None:
    from bench.testsets.recipe import find_recipe
    from bench.training.processes import native_precision
    from bench.training.settings import preset
    from bench.training.tasks import run_task

    if dataset is not None:
        find_recipe(dataset, workspace().datasets)
        task = task.trained_on(dataset)
    settings = preset(
        configuration,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate,
        ema=ema,
        seed=seed,
        precision=precision or native_precision(),
        compiled=compiled,
    )
    if path := run_task(task, data, settings, out, start, every, changed_data):
        say(f"Wrote {path}")


def _command(task_of: Callable[..., "TrainingTask"]) -> Callable[..., None]:
    """Return the command that trains the task returned by a function."""
    own = inspect.signature(task_of).parameters
    shared = dict(inspect.signature(_train).parameters)
    del shared["task"]

    def command(**given: Any) -> None:
        task = task_of(**{name: given.pop(name) for name in own})
        _train(task, **given)

    parameters = sorted(
        (p.replace(kind=p.KEYWORD_ONLY) for p in (*own.values(), *shared.values())),
        key=lambda p: p.default is not p.empty,  # what is required comes first
    )
    command.__name__, command.__doc__ = task_of.__name__, task_of.__doc__
    # typer reads the options from these two.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


@_command
def prior(
    size: Size = 64,
    prediction: Annotated[
        Literal["eps", "v"], typer.Option(help="Prediction target: eps or v (velocity).")
    ] = "v",
) -> "TrainingTask":
    """Train a diffusion prior. Run the same command to resume."""
    from bench.training.tasks import prior_task

    return prior_task(size, prediction)


@_command
def crt(
    scale: Annotated[
        int | None,
        typer.Option(help="Downscaling factor of the bicubic degradation (default: 8)."),
    ] = None,
    degradation: Annotated[
        Degradation, typer.Option(help="Degradation to correct: bicubic, blind or severe.")
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
) -> "TrainingTask":
    """Train a Corrector for DPI. Run the same command to resume."""
    from bench.training.tasks import corrector_task

    if scale is None:
        scale = 8 if degradation == "bicubic" else 1
    return corrector_task(size, scale, k, form, degradation, prior)


@_command
def sr3(
    scale: Annotated[int, typer.Option(help="Downscaling factor.")] = 8,
    size: Size = 64,
    norm: Annotated[Literal["l1", "l2"], typer.Option(help="Norm of the loss.")] = "l1",
) -> "TrainingTask":
    """Train SR3's network. Run the same command to resume."""
    from bench.training.tasks import sr3_task

    return sr3_task(size, scale, norm)


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
