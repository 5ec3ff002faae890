"""The networks that methods need, found, loaded and put on a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import Weights
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.dpi.corrector import Corrector
from bench.errors import BenchError
from bench.method import Method, Models
from bench.registry.places import find_corrector, find_prior
from bench.weights import Checkpoint, Kind, read_checkpoint


class CountedNetwork:
    """A network on a device that counts how many images it was evaluated on."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network.to(device)
        self.evaluations = 0

    def __call__(self, x: Tensor, *conditions: Tensor) -> Tensor:
        self.evaluations += len(x)
        return self.network(x, *conditions)


@dataclass(frozen=True)
class LoadedModels:
    """Models for methods, the hash of each checkpoint by need, and their counters."""

    models: Models
    sha256: dict[str, str]
    counters: tuple[CountedNetwork, ...]

    @property
    def evaluations(self) -> int:
        """Images that networks were evaluated on so far, prior and Corrector alike."""
        return sum(counter.evaluations for counter in self.counters)


def load_models(
    method: Method[Any],
    size: int,
    scale: int,
    weights: Weights,
    device: torch.device,
    k: int | None = None,
) -> LoadedModels:
    """Load what a method needs for a test set; `k` is the grid's spacing where it has one.

    Raises:
        BenchError: a checkpoint is missing or damaged, or made for other images or another grid.
    """
    prior = corrector = None
    sha256: dict[str, str] = {}
    counters = []
    for need, path in checkpoint_paths(method, size, scale, weights).items():
        checkpoint = read_checkpoint(path, need)
        _check(checkpoint, "size", checkpoint.card.size, size)
        sha256[need] = checkpoint.sha256
        if need == "prior":
            network = _load(UNet(checkpoint.card.unet), checkpoint, device)
            prior = Prior(network, Schedule.linear())
        else:
            _check(checkpoint, "scale", checkpoint.card.scale, scale)
            if k is not None:
                _check(checkpoint, "k", checkpoint.card.k, k, "the settings have")
            network = corrector = _load(Corrector(checkpoint.card.unet), checkpoint, device)
        counters.append(network)
    return LoadedModels(Models(prior, corrector), sha256, tuple(counters))


def checkpoint_paths(
    method: Method[Any], size: int, scale: int, weights: Weights
) -> dict[Kind, Path]:
    """The checkpoint for each need of a method; the user's choice comes first.

    Raises:
        BenchError: there is none, with how to get it.
    """
    paths: dict[Kind, Path] = {}
    if "prior" in method.needs:
        paths["prior"] = Path(weights.prior) if weights.prior else find_prior(size)
    if "corrector" in method.needs:
        chosen = weights.corrector
        paths["corrector"] = Path(chosen) if chosen else find_corrector(size, scale)
    for need, path in paths.items():
        if not path.is_file():
            raise BenchError(f"There is no {need} at {path}.")
    return paths


def choose_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load(network: nn.Module, checkpoint: Checkpoint, device: torch.device) -> CountedNetwork:
    checkpoint.load_into(network)
    return CountedNetwork(network.to(memory_format=torch.channels_last), device)  # type: ignore[call-overload]


def _check(
    checkpoint: Checkpoint, what: str, is_for: Any, needed: int, which: str = "the test set has"
) -> None:
    if is_for != needed:
        raise BenchError(
            f"{checkpoint.path} was trained for {what} {is_for}, but {which} {what} {needed}: "
            "give another checkpoint, or train one with `bench train`."
        )
