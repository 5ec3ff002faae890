"""Features of images on disk, shared by all metrics with the same extractor.

They are stored per extractor and hash of the image file, so that adding an image computes only its
own features, and all runs on a test set share those of the originals.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.core.errors import BenchError
from bench.core.files import sha256, write_bytes
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.protocol import jpeg_identity

_ROWS = 1024  # pictures whose features are in memory at a time


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
