"""Features: what a network sees in a picture, computed once and kept for every metric of it.

Kept on disk by extractor and by the hash of the picture's file, so that an added picture computes
its own only, and the originals' are shared by all runs on a test set.
"""

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.core.errors import BenchError
from bench.core.files import sha256, write_bytes
from bench.metrics.protocol import jpeg_identity

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    from bench.images import Pixels

Features = Mapping[str, npt.NDArray[np.floating[Any]]]
"""Name -> array; what names and shapes there are is the extractor's business."""

_ROWS = 1024  # pictures whose features are in memory at a time


class Extractor(ABC):
    """A network that pictures are shown to. A picture's features depend on no other picture."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """All that features depend on: network, hash of its weights, resizing, versions."""

    @property
    def label(self) -> str:
        """Short name, for files and people."""
        return type(self).__name__.lower()

    @property
    def records(self) -> tuple[str, ...]:
        """Names of the public checkpoints that it reads."""
        return ()

    def unavailable(self) -> str | None:
        """Return what is missing and the remedy, without a subject; None if it can run."""
        return None

    @abstractmethod
    def extract(self, pictures: "Sequence[Pixels]", device: str = "cpu") -> list[Features]:
        """Features of pictures uint8 RGB [H, W, 3], in their order.

        Args:
            pictures: the images.
            device: where a network computes, such as "cuda:0".

        Raises:
            BenchError: it is unavailable.
        """


def kept_as(extractor: Extractor, jpeg: bool) -> str:
    """Return the key of features in `FeatureCache`: extractor and preprocessing."""
    return f"{extractor.identity}, pictures as {jpeg_identity()}" if jpeg else extractor.identity


class FeatureCache:
    """Features on disk: a folder per extractor, a file per picture.

    `extractor` is what `kept_as` says, `picture` the sha256 of the picture's file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, extractor: str, picture: str) -> bool:
        """Return whether these features are here."""
        return self._path(extractor, picture).is_file()

    def write(self, extractor: str, picture: str, features: Features) -> None:
        """Keep the features of a picture."""
        buffer = io.BytesIO()
        np.savez(buffer, **features)  # type: ignore[arg-type]
        write_bytes(self._path(extractor, picture), buffer.getvalue())

    def read(self, extractor: str, picture: str) -> Features:
        """Return the features of an image.

        Raises:
            BenchError: they are absent or damaged.
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
    """The features of a set of pictures, read a piece at a time.

    `pictures` are the hashes of their files, in an order that names and lists don't influence.
    """

    cache: FeatureCache
    extractor: str
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, name: str, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """One of the features of some pictures, [len(indices), D] in float64."""
        found = [self.cache.read(self.extractor, self.pictures[i])[name] for i in indices]
        return np.stack(found).astype(np.float64)

    def pieces(self, name: str) -> Iterator[npt.NDArray[np.float64]]:
        """One of the features of all pictures, [n, D] at a time with n bounded."""
        for start in range(0, len(self), _ROWS):
            yield self.rows(name, range(start, min(start + _ROWS, len(self))))
