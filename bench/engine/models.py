"""Find, load and count the networks that methods need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.config import Precision
from bench.core.errors import BenchError
from bench.diffusion.prior import Parametrisation, Prior
from bench.diffusion.schedule import Schedule
from bench.methods import Configured, Models
from bench.networks.checkpoints import Card
from bench.networks.find import find_network
from bench.networks.hub import chosen_file
from bench.networks.kinds import find_kind


class CountedNetwork:
    """A network on a device that counts the images it is evaluated on.

    Inputs and outputs are float32. At another precision, convolutions and matrix products are
    computed in it by PyTorch's autocast; the weights stay float32.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, precision: Precision = "float32"
    ) -> None:
        self.network: Callable[..., Any] = network.to(device)
        self.evaluations = 0
        self.watch: Callable[[], None] | None = None  # called after each evaluation
        self._device = device
        self._reduced = precision != "float32"
        self._autocast = torch.autocast(device.type, getattr(torch, precision), self._reduced)

    def compile(self) -> None:
        """Compile the network at its next call; on a GPU into CUDA graphs.

        A CUDA graph reuses the memory of its output, which is therefore cloned.
        """
        if self._device.type == "cuda":
            compiled = torch.compile(self.network, dynamic=False, mode="reduce-overhead")
            self.network = lambda *given: _map_tensors(Tensor.clone, compiled(*given))
        else:
            self.network = torch.compile(self.network, dynamic=False)

    def __call__(self, x: Tensor, *conditions: Any) -> Any:
        output = self._evaluate(x, *conditions)
        self.evaluations += len(x)
        if self.watch:
            self.watch()
        return output

    def _evaluate(self, x: Tensor, *conditions: Any) -> Any:
        if not self._reduced:
            return self.network(x, *conditions)
        with self._autocast:
            return _map_tensors(Tensor.float, self.network(x, *conditions))


@dataclass(frozen=True)
class LoadedModels:
    """Models of a method, with checkpoint hashes by kind and NFE counters."""

    models: Models
    sha256: dict[str, str]
    counters: tuple[CountedNetwork, ...]

    @property
    def evaluations(self) -> int:
        """Return the number of evaluated images, summed over all networks."""
        return sum(counter.evaluations for counter in self.counters)


def load_models(
    configured: Configured,
    size: int,
    weights: Mapping[str, str],
    device: torch.device,
    precision: Precision = "float32",
    compiled: bool = False,
) -> LoadedModels:
    """Load the networks of a method and its inner method for results of `size`.

    With `compiled`, networks that can be trained here are compiled at their first call, which takes
    about a minute per batch size; PyTorch caches the result for the next process.

    Raises:
        BenchError: a checkpoint is missing, damaged, or made for another size, scale or grid.
    """
    sha256: dict[str, str] = {}
    networks: dict[str, CountedNetwork] = {}
    prediction: Parametrisation = "eps"
    for need, path in find_checkpoints(configured, size, weights).items():
        loaded = find_kind(need).load(path)
        sha256[need] = loaded.sha256
        networks[need] = CountedNetwork(loaded.network, device, precision)
        if loaded.card:
            _check_fit(path, loaded.card, size, configured)
            prediction = loaded.card.prediction if need == "prior" else prediction
            if compiled:
                networks[need].compile()
    prior = None
    if "prior" in networks:
        prior = Prior(networks["prior"], Schedule.linear(), prediction)
    models = Models(prior, networks.get("corrector"), networks)
    return LoadedModels(models, sha256, tuple(networks.values()))


def find_checkpoints(
    configured: Configured, size: int, weights: Mapping[str, str]
) -> dict[str, Path]:
    """Find the checkpoint of each network of a method and its inner method.

    A file or hf:OWNER/NAME in `weights`, by kind, comes before those found by size and scale.

    Raises:
        BenchError: a file, or the package with its architecture, is missing; with how to get it.
    """
    paths: dict[str, Path] = {}
    for need in configured.needs:
        kind = find_kind(need, f"{configured.method.name}'s needs")
        chosen = weights.get(need)
        path = chosen_file(chosen) if chosen else find_network(need, size, configured.scale)
        if not path.is_file():
            raise BenchError(f"There is no {need} at {path}.")
        kind.require_package()
        paths[need] = path
    return paths


def choose_device() -> torch.device:
    """Return the first GPU, or the CPU if there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch(size: int, device: torch.device) -> int:
    """Return the default batch size for images of `size` pixels.

    On a CPU, return 8: larger batches are no faster, and a stopped run loses less. On a GPU, return
    64 for 256 px, scaled inversely with the image area, at most 256; a worker that runs out of
    memory halves the batch until it fits (see `bench.engine.executors.local`).
    """
    if device.type == "cpu":
        return 8
    return max(1, min(256, 64 * 256**2 // size**2))


def _map_tensors(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """Apply a function to every tensor of an output, which may be a tuple with None."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        return tuple(_map_tensors(change, part) for part in output)
    return output


def _check_fit(path: Path, card: Card, size: int, configured: Configured) -> None:
    """Check a checkpoint against the test set, and a Corrector's grid against the settings."""
    if card.kind == "prior" and path.suffix != ".safetensors" and card.size != size:
        raise BenchError(
            f"{path} is a prior for {card.size} px, but the test set has {size} px: if it "
            f"was trained for {size} px, run `bench weights convert {path} --size {size} "
            "--out FILE`, else give another checkpoint."
        )
    _check(path, "size", card.size, size)
    if not find_kind(card.kind).every_scale:
        _check(path, "scale", card.scale, configured.scale)
    if card.kind == "corrector":
        for part in configured.parts:
            if "corrector" in part.method.needs:
                _check(path, "k", card.k, part.settings.k, "the settings have")


def _check(
    path: Path, what: str, trained: Any, needed: int, which: str = "the test set has"
) -> None:
    if trained != needed:
        raise BenchError(
            f"{path} was trained for {what} {trained}, but {which} {what} {needed}: "
            "give another checkpoint, or train one with `bench train`."
        )
