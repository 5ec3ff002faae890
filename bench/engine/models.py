"""The networks that methods need, found, loaded and put on a device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import Precision, Weights
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import SR3UNet
from bench.diffusion.unet import UNet
from bench.dpi.corrector import Corrector
from bench.errors import BenchError
from bench.files import sha256_file
from bench.kinds import Kind
from bench.method import Configured, Models
from bench.registry.places import find_network
from bench.restorers import load_restorer, require_package
from bench.weights import Checkpoint, read_checkpoint

TRAINED: Mapping[Kind, Callable[..., nn.Module]] = {
    "prior": UNet,
    "corrector": Corrector,
    "sr3": SR3UNet,
}
"""Kind -> the class that its card's shape is given to; every other kind is a restorer."""


class CountedNetwork:
    """A network on a device that counts how many images it was evaluated on.

    It takes and gives float32. At another precision its convolutions and products are computed in
    that, by PyTorch's own rules (autocast); the weights stay as they are.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, precision: Precision = "float32"
    ) -> None:
        self.network: Callable[..., Any] = network.to(device)
        self.evaluations = 0
        self._device = device
        self._reduced = precision != "float32"
        self._autocast = torch.autocast(device.type, getattr(torch, precision), self._reduced)

    def compile(self) -> None:
        """Have the network compiled at its next call; on a GPU into CUDA graphs.

        A CUDA graph writes its result to the same place each time, so that it must be copied from
        there before the next call.
        """
        if self._device.type == "cuda":
            compiled = torch.compile(self.network, dynamic=False, mode="reduce-overhead")
            self.network = lambda *given: _each(Tensor.clone, compiled(*given))
        else:
            self.network = torch.compile(self.network, dynamic=False)

    def __call__(self, x: Tensor, *conditions: Any) -> Any:
        self.evaluations += len(x)
        if not self._reduced:
            return self.network(x, *conditions)
        with self._autocast:
            return _each(Tensor.float, self.network(x, *conditions))


@dataclass(frozen=True)
class LoadedModels:
    """Models for methods, the hash of each checkpoint by need, and their counters."""

    models: Models
    sha256: dict[str, str]
    counters: tuple[CountedNetwork, ...]

    @property
    def evaluations(self) -> int:
        """Images that networks were evaluated on so far, all of them alike."""
        return sum(counter.evaluations for counter in self.counters)


def load_models(
    configured: Configured,
    size: int,
    weights: Weights,
    device: torch.device,
    precision: Precision = "float32",
    compiled: bool = False,
) -> LoadedModels:
    """Load what a method, and the one inside it, need for results of `size`.

    If `compiled`, the networks that can be trained here are compiled at their first call, which
    takes a minute or so for each size of batch; PyTorch keeps what it made for the next process.

    Raises:
        BenchError: a checkpoint is missing or damaged, or made for other images or another grid.
    """
    sha256: dict[str, str] = {}
    networks: dict[Kind, CountedNetwork] = {}
    paths = find_checkpoints(configured, size, weights)
    for need, path in paths.items():
        if need in TRAINED:
            checkpoint = read_checkpoint(path, need)
            _check_fit(checkpoint, size, configured)
            network, sha256[need] = _trained(checkpoint), checkpoint.sha256
        else:
            network, sha256[need] = load_restorer(need, path), sha256_file(path)
        networks[need] = CountedNetwork(network, device, precision)
        if compiled and need in TRAINED:
            networks[need].compile()
    prior = Prior(networks["prior"], Schedule.linear()) if "prior" in networks else None
    models = Models(prior, networks.get("corrector"), networks)
    return LoadedModels(models, sha256, tuple(networks.values()))


def find_checkpoints(configured: Configured, size: int, weights: Weights) -> dict[Kind, Path]:
    """The checkpoint for each need of a method and of the one inside it; the user's comes first.

    Raises:
        BenchError: one is missing, or the package that has its architecture, with how to get it.
    """
    paths: dict[Kind, Path] = {}
    for need in configured.needs:
        chosen = getattr(weights, need)
        path = Path(chosen) if chosen else find_network(need, size, configured.scale)
        if not path.is_file():
            raise BenchError(f"There is no {need} at {path}.")
        if need not in TRAINED:
            require_package(need)
        paths[need] = path
    return paths


def choose_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch(size: int, device: torch.device) -> int:
    """How many images of `size` pixels are restored at a time where nobody says.

    On a CPU 8: more are no quicker, and less is lost when a run is stopped. On a GPU as many as 64
    of 256 px, far beyond where a larger batch is quicker; a worker that has no memory for so many
    halves them until they fit, and goes on with what did (`bench.engine.worker`). The attempts that
    do not fit end in the first step, so that the largest batch, to a factor of two, is found in
    less time than it takes to measure one image's memory.
    """
    if device.type == "cpu":
        return 8
    return max(1, min(256, 64 * 256**2 // size**2))


def _each(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """What a network gave with its tensors changed: some give several, and some of them None."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        return tuple(_each(change, part) for part in output)
    return output


def _trained(checkpoint: Checkpoint) -> nn.Module:
    network = checkpoint.build(TRAINED[checkpoint.card.kind])
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check_fit(checkpoint: Checkpoint, size: int, configured: Configured) -> None:
    """The prior serves every scale; only a Corrector has a grid, which the settings must share."""
    card = checkpoint.card
    _check(checkpoint, "size", card.size, size)
    if card.kind != "prior":
        _check(checkpoint, "scale", card.scale, configured.scale)
    if card.kind == "corrector":
        for part in configured.parts:
            if "corrector" in part.method.needs:
                _check(checkpoint, "k", card.k, part.settings.k, "the settings have")


def _check(
    checkpoint: Checkpoint, what: str, is_for: Any, needed: int, which: str = "the test set has"
) -> None:
    if is_for != needed:
        raise BenchError(
            f"{checkpoint.path} was trained for {what} {is_for}, but {which} {what} {needed}: "
            "give another checkpoint, or train one with `bench train`."
        )
