"""Extractors of image features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.concurrency import pooled_map, threads
from bench.core.paths import missing_packages
from bench.images import Pixels
from bench.metrics.checkpoints import checkpoint_missing

Features = Mapping[str, npt.NDArray[np.floating[Any]]]
"""Name -> array; names and shapes depend on the extractor."""

_WORTH_PROCESSES = 16  # pictures: with fewer, starting processes takes longer than they save
_PROCESSES = 8  # at most: each takes 0.1 GB, and evaluation is to run in 2 GB


class Extractor(ABC):
    """A feature extractor. The features of an image do not depend on other images."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Return all that features depend on: network, weights, resizing, versions."""

    @property
    def label(self) -> str:
        """Return a short name for files and people."""
        return type(self).__name__.lower()

    @property
    def records(self) -> tuple[str, ...]:
        """Return the names of required public checkpoints."""
        return ()

    def unavailable(self) -> str | None:
        """Return the problem and its remedy; None if it can run."""
        return None

    @abstractmethod
    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        """Return the features of images uint8 RGB [H, W, 3], in order.

        Args:
            pictures: the images.
            device: where a network computes, such as "cuda:0".

        Raises:
            BenchError: the network is unavailable.
        """


@dataclass(frozen=True)
class PackagedExtractor(Extractor):
    """A network of an installed package, with weights from the registry.

    Attributes:
        package: as it is installed.
        module: as it is imported.
        weights: name of the checkpoint in the registry.
    """

    package: str
    module: str
    weights: str

    @property
    def records(self) -> tuple[str, ...]:
        return (self.weights,)

    def unavailable(self) -> str | None:
        if missing := missing_packages("fid", self.module):
            return f"{missing}."
        return checkpoint_missing(self.weights)


def in_processes(
    extract: Callable[[Pixels], Features], pictures: Sequence[Pixels]
) -> list[Features]:
    """Extract features one image at a time, several at once if there are enough images."""
    workers = min(threads(), _PROCESSES) if len(pictures) >= _WORTH_PROCESSES else 1
    return list(pooled_map(extract, pictures, workers))
