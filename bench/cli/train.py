"""The commands that train: a prior, a Corrector, or SR3.

Each is a function from the options that are its own to a task; `_command` adds those that all of
them share, and trains it.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli.shared import say

if TYPE_CHECKING:
    from bench.training.tasks import Task


Precision = Literal["float32", "bfloat16", "float16"]
Degradation = Literal["bicubic", "blind", "severe"]

Data = Annotated[Path, typer.Option(help="Folder or zip of face images.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoint, weights, pictures and log.")]
Size = Annotated[int, typer.Option(help="Height and width in pixels.")]
Configuration = Annotated[
    Literal["small", "paper"],
    typer.Option("--preset", help="paper: batch 32, 100k steps, AdamW 1e-5, EMA 0.9999."),
]
Start = Annotated[
    Path | None,
    typer.Option("--start-from", help="Weights of the same architecture to begin with."),
]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)]
Batch = Annotated[int | None, typer.Option(help="Images per step, over all processes.", min=1)]
Accumulate = Annotated[
    int | None, typer.Option(help="Passes that a step's images are split into.", min=1)
]
Rate = Annotated[
    float | None, typer.Option("--learning-rate", help="Highest learning rate.", min=0)
]
Ema = Annotated[float | None, typer.Option(help="Decay of the averaged weights.", min=0, max=1)]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, batches and noise.")]
Autocast = Annotated[
    Precision | None, typer.Option(help="bfloat16 is faster where the processor has it.")
]
Compiled = Annotated[bool, typer.Option("--compile", help="Compile the network: minutes, once.")]
Every = Annotated[int, typer.Option(help="Steps from one saved state to the next.", min=1)]
Changed = Annotated[
    bool, typer.Option("--changed-data", help="Go on though the images are not the same.")
]


def _train(
    task: "Task",
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
) -> None:
    from bench.training.settings import preset
    from bench.training.tasks import run_task

    settings = preset(
        configuration,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate,
        ema=ema,
        seed=seed,
        precision=precision,
        compiled=compiled,
    )
    if path := run_task(task, data, settings, out, start, every, changed_data):
        say(f"Wrote {path}")


def _command(task_of: Callable[..., "Task"]) -> Callable[..., None]:
    """Return the command that trains the task described by a function of its options."""
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
        Literal["eps", "v"], typer.Option(help="What the network predicts: eps or the velocity v.")
    ] = "v",
) -> "Task":
    """Train a diffusion prior. The same command resumes an interrupted training."""
    from bench.training.tasks import prior_task

    return prior_task(size, prediction)


@_command
def crt(
    scale: Annotated[
        int | None, typer.Option(help="Scale that it corrects for, of the bicubic degradation: 8.")
    ] = None,
    degradation: Annotated[
        Degradation, typer.Option(help="What it corrects, as in `bench prepare`.")
    ] = "bicubic",
    size: Size = 64,
    k: Annotated[int, typer.Option(help="Spacing of the condition's grid.")] = 2,
    form: Annotated[
        Literal["paper", "released"],
        typer.Option(help="Loss: the paper's (Eq. 15 to 18) or the released code's."),
    ] = "paper",
    prior: Annotated[
        Path | None,
        typer.Option(help="Prior whose noise estimates it learns from; else the noise itself."),
    ] = None,
) -> "Task":
    """Train a Corrector for DPI; stopped or killed, the same command goes on."""
    from bench.training.tasks import corrector_task

    if scale is None:
        scale = 8 if degradation == "bicubic" else 1
    return corrector_task(size, scale, k, form, degradation, prior)


@_command
def sr3(
    scale: Annotated[int, typer.Option(help="Scale that it restores.")] = 8,
    size: Size = 64,
    norm: Annotated[Literal["l1", "l2"], typer.Option(help="Norm of the loss.")] = "l1",
) -> "Task":
    """Train SR3's network; stopped or killed, the same command goes on."""
    from bench.training.tasks import sr3_task

    return sr3_task(size, scale, norm)


def again(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `bench train` wrote.")],
    data: Data,
    out: Out,
    start: Start = None,
    steps: Annotated[int | None, typer.Option(help="Fewer steps, to try it.", min=1)] = None,
    every: Every = 500,
    changed_data: Changed = False,
) -> None:
    """Train a network again, as the card in its header says; the same command goes on."""
    from bench.training.again import train_again

    if path := train_again(checkpoint, data, out, start, steps, every, changed_data):
        say(f"Wrote {path}")
