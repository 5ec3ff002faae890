"""Image features, computed once and cached for all metrics.

Features are stored on disk per extractor and hash of the image file, so that adding an image
computes only its own features, and all runs on a test set share those of the originals.
"""

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.concurrency import pooled_map, threads
from bench.core.errors import BenchError
from bench.core.files import sha256, write_bytes
from bench.core.paths import missing_packages
from bench.images import Pixels
from bench.metrics.checkpoints import checkpoint_missing
from bench.metrics.protocol import jpeg_identity

Features = Mapping[str, npt.NDArray[np.floating[Any]]]
"""Name -> array; names and shapes depend on the extractor."""

_ROWS = 1024  # pictures whose features are in memory at a time

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


def kept_as(extractor: Extractor, jpeg: bool) -> str:
    """Return the key of features in `FeatureCache`: extractor and preprocessing."""
    return f"{extractor.identity}, pictures as {jpeg_identity()}" if jpeg else extractor.identity


class FeatureCache:
    """Features on disk: one folder per extractor, one file per image.

    `extractor` is a key of `kept_as`, `picture` the SHA-256 of the image file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, extractor: str, picture: str) -> bool:
        """Return True if these features are cached."""
        return self._path(extractor, picture).is_file()

    def write(self, extractor: str, picture: str, features: Features) -> None:
        """Cache the features of an image."""
        buffer = io.BytesIO()
        np.savez(buffer, **features)  # type: ignore[arg-type]
        write_bytes(self._path(extractor, picture), buffer.getvalue())

    def read(self, extractor: str, picture: str) -> Features:
        """Return the features of an image.

        Raises:
            BenchError: the features are absent or damaged.
        """
        path = self._path(extractor, picture)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                features = dict(arrays)
            if not all(isinstance(value, np.ndarray) for value in features.values()):
                raise ValueError("it contains more than arrays")
            return features
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise BenchError(
                f"{path} is damaged ({error}): remove it and evaluate again."
            ) from None

    def _path(self, extractor: str, picture: str) -> Path:
        return self._folder / sha256(extractor.encode())[:16] / f"{picture}.npz"


@dataclass(frozen=True)
class FeatureTable:
    """Features of a set of images, read in chunks.

    `pictures` are the hashes of their files, in an order that names and lists don't influence.
    """

    cache: FeatureCache
    extractor: str
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, name: str, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return a feature of some images, [len(indices), D] in float64."""
        found = [self.cache.read(self.extractor, self.pictures[i])[name] for i in indices]
        return np.stack(found).astype(np.float64)

    def pieces(self, name: str) -> Iterator[npt.NDArray[np.float64]]:
        """Yield a feature of all images in chunks [n, D]."""
        for start in range(0, len(self), _ROWS):
            yield self.rows(name, range(start, min(start + _ROWS, len(self))))
