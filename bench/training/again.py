"""Retrain a network from the card in its header."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.paths import checkpoints
from bench.networks.checkpoints import Card, read_card
from bench.training.settings import TrainingSettings
from bench.training.tasks import TrainingTask, corrector_task, prior_task, run_task, sr3_task


def train_again(
    path: Path,
    data: Path,
    out: Path,
    start: Path | None = None,
    steps: int | None = None,
    every: int = 500,
    changed_data: bool = False,
) -> Path | None:
    """Retrain the network of a checkpoint with the same task, settings, data and start.

    Args:
        path: a checkpoint of `bench train`.
        data: the same images; their hash is compared unless `changed_data`.
        out: folder of the new checkpoint.
        start: initial checkpoint, if training began from one that does not ship.
        steps: number of steps, such as fewer for a trial (default: the card's).
        every: steps between saved states.
        changed_data: accept other images.

    Returns:
        The new checkpoint; None on ranks other than 0.

    Raises:
        BenchError: the card does not state how it was trained, its initial checkpoint is missing,
            or the images differ.
    """
    card = read_card(path)
    training = dict(card.training or {})
    if "steps" not in training:
        raise BenchError(f"{path} does not state how it was trained: train one with `bench train`.")
    names = {field.name for field in fields(TrainingSettings)}
    chosen = {name: value for name, value in training.items() if name in names}
    settings = TrainingSettings(**{**chosen, **({"steps": steps} if steps else {})})
    begin = _start(path, training, start)
    task = _task(path, card)
    if "dataset" in training:
        task = task.with_dataset(training["dataset"])
    wanted = None if changed_data else training.get("data_sha256")
    return run_task(task, data, settings, out, begin, every, changed_data, wanted)


def _task(path: Path, card: Card) -> TrainingTask:
    """Return the task that a card describes.

    Raises:
        BenchError: the training depends on something that the card can't say.
    """
    training: dict[str, Any] = dict(card.training or {})
    objective = training.get("objective")
    if card.kind == "prior" and objective in {"even", "velocity"}:
        return prior_task(card.size, card.prediction)
    if card.kind == "sr3" and card.scale and objective in {"l1", "l2"}:
        return sr3_task(card.size, card.scale, objective)
    if card.kind == "corrector" and card.scale and card.k and objective in {"paper", "released"}:
        if "prior_sha256" in training:
            raise BenchError(f"{path} was trained with a prior that cannot be found from its card.")
        degradation = training.get("degradation", "bicubic")
        return corrector_task(card.size, card.scale, card.k, objective, degradation)
    raise BenchError(f"{path} was trained with an objective of an earlier version: {objective}.")


def _start(path: Path, training: dict[str, Any], given: Path | None) -> Path | None:
    """Return the initial checkpoint of a training run; None for random weights.

    Raises:
        BenchError: the checkpoint is missing, or another one was given.
    """
    wanted = training.get("start_sha256")
    if wanted is None:
        if given is not None:
            raise BenchError(f"{path} started from random weights: remove --start-from.")
        return None
    place = given or checkpoints() / f"{training['start']}.safetensors"
    if not place.is_file() or sha256_file(place) != wanted:
        raise BenchError(
            f"{path} began with {training['start']} of sha256 {wanted[:16]}..., which is not "
            f"{place}: give it with --start-from."
        )
    return place
