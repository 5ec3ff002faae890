"""Messages between the driver of a run and its workers: picklable data without open files.

The driver makes `Unit`s; a worker that holds an `Assignment` turns each into an `Outcome`. The only
paths in them are those of checkpoints, which are sent with their hashes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from bench.core.config import Precision
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.models import LoadedModels, load_models
from bench.images import Measurement, Pixels, to_model
from bench.methods import Configured, Problem, configure


@dataclass(frozen=True)
class Assignment:
    """All data that a worker needs to load a method and draw its noise.

    `settings` maps method -> setting -> value, inner methods included, and `weights` a kind of
    network to its checkpoint. `hashes` are the expected hashes of the checkpoints and of external
    programs. `sigma` is the standard deviation of the LR images' noise in [-1, 1]. Results of
    `compiled` networks differ in the last digits, as those of another machine do.
    """

    method: str
    settings: Mapping[str, Mapping[str, Any]]
    scale: int
    size: int
    weights: Mapping[str, str]
    hashes: Mapping[str, str]
    seed: int
    sigma: float = 0.0
    repetition: int = 0
    precision: Precision = "float32"
    compiled: bool = False

    def configured(self) -> Configured:
        """Return the method with its settings, found by name in this process."""
        return configure(self.method, self.scale, self.size, self.settings)

    def load(self, device: torch.device) -> LoadedModels:
        """Load the method's networks; see `load_models`."""
        made, precision = self.configured(), self.precision
        return load_models(made, self.size, self.weights, device, precision, self.compiled)

    def problem(self, unit: "Unit", loaded: LoadedModels, device: torch.device) -> Problem:
        """Return the problem of a unit, with the noise of its images."""
        return Problem(
            lr=to_model(unit.lr).to(device),
            scale=self.scale,
            noise=KeyedNoise([StreamKey(self.seed, i, self.repetition) for i in unit.images]),
            models=loaded.models,
            images=unit.images,
            sigma=self.sigma,
        )


@dataclass(frozen=True)
class Unit:
    """Images to restore as a batch: ids, and LR images or measurements [h, w, 3]."""

    images: tuple[str, ...]
    lr: tuple[Pixels | Measurement, ...]

    def __len__(self) -> int:
        return len(self.images)

    def split(self, size: int) -> list["Unit"]:
        """Return the same images in units of at most `size`."""
        starts = range(0, len(self), size)
        return [Unit(self.images[s : s + size], self.lr[s : s + size]) for s in starts]


@dataclass(frozen=True)
class Restored:
    """Results of one call of the method: images [H, W, 3] by id.

    `seconds` and `evaluations` (NFE) are per image; None if they cannot be counted.
    """

    pictures: Mapping[str, Pixels]
    seconds: float
    evaluations: int | None


@dataclass(frozen=True)
class Outcome:
    """Result of a unit: every image is either restored or failed.

    `failed` is image id -> reason; `peak_memory` the worker's peak memory so far, in bytes.
    """

    restored: tuple[Restored, ...]
    failed: Mapping[str, str]
    peak_memory: int


Watch = Callable[[float], None]
"""Receives the progress of unfinished units in images; 0 at the end of a unit."""


def no_watch(part: float) -> None:
    """Ignore progress."""


class Workers(Protocol):
    """Workers that hold a loaded method."""

    def __call__(self, units: Iterable[Unit], watch: Watch = no_watch) -> Iterator[Outcome]:
        """Yield one outcome per unit, in any order, taking units as needed."""
        ...


class Executor(Protocol):
    """Runs methods somewhere; it never sees the store."""

    def provenance(self) -> Mapping[str, Any]:
        """Return code, packages and machine, as JSON values."""
        ...

    def ready(self, assignment: Assignment) -> AbstractContextManager[Workers]:
        """Provide workers for one method on one test set within a context.

        Raises:
            BenchError: a checkpoint is missing, damaged, made for something else, or not the one
                that the assignment names.
        """
        ...
