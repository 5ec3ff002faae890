"""What passes between the driver of a run and whoever does its work: plain data, no open file.

The driver makes `Unit`s, a worker that was given an `Assignment` turns each into an `Outcome`.
All three can be pickled, and none names a place that the other side would have to share, but for
the checkpoints, whose hashes travel with their paths.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from bench.config import Precision, Weights
from bench.images import Pixels
from bench.method import Configured, configure, find_method


@dataclass(frozen=True)
class Assignment:
    """All that a worker must know to load a method and to draw its noise.

    `settings` is method -> setting -> value, for methods inside this one too; `weights` has the
    path of every checkpoint in use, `hashes` what they and all else outside must hash to.
    `compiled` is how the networks run, which changes their last digits as another machine does.
    """

    method: str
    settings: Mapping[str, Mapping[str, Any]]
    scale: int
    size: int
    weights: Weights
    hashes: Mapping[str, str]
    seed: int
    repetition: int = 0
    precision: Precision = "float32"
    compiled: bool = False

    def configured(self) -> Configured:
        """The method and what is inside it, found by their names."""
        return find_configured(self.method, self.scale, self.size, self.settings)


@dataclass(frozen=True)
class Unit:
    """Images to restore together: ids, and LR pictures [h, w, 3]."""

    images: tuple[str, ...]
    lr: tuple[Pixels, ...]

    def __len__(self) -> int:
        return len(self.images)

    def split(self, size: int) -> list["Unit"]:
        """The same images in units of at most `size`."""
        starts = range(0, len(self), size)
        return [Unit(self.images[s : s + size], self.lr[s : s + size]) for s in starts]


@dataclass(frozen=True)
class Restored:
    """What one call of the method gave: pictures [H, W, 3] by image id.

    `seconds` and `evaluations` are each image's share; None is what nobody could count.
    """

    pictures: Mapping[str, Pixels]
    seconds: float
    evaluations: int | None


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: every image of it is restored, or has failed for a reason.

    `failed` is image id -> reason; `peak_memory` the most bytes that the worker had in use so far.
    """

    restored: tuple[Restored, ...]
    failed: Mapping[str, str]
    peak_memory: int


class Workers(Protocol):
    """Workers that hold a loaded method."""

    def __call__(self, units: Iterable[Unit]) -> Iterator[Outcome]:
        """Every image in one outcome, in whatever order; units are taken as they are needed."""
        ...


class Executor(Protocol):
    """Where the work of runs is done. It never sees the store."""

    def provenance(self) -> Mapping[str, Any]:
        """Code, packages and machine, as JSON values."""
        ...

    def ready(self, assignment: Assignment) -> AbstractContextManager[Workers]:
        """Workers for one method on one test set; behind the context, nothing of them is left.

        Raises:
            BenchError: a checkpoint is missing, damaged, made for something else, or another one
                than the assignment names.
        """
        ...


def find_configured(
    name: str, scale: int, size: int, settings: Mapping[str, Mapping[str, Any]]
) -> Configured:
    """The method of this name for results of `size` at a scale, with some settings replaced.

    Raises:
        BenchError: an unknown method or setting.
    """
    return configure(find_method(name), scale, size, settings)
