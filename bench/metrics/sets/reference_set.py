"""Reference sets: clean images that replace the originals in set metrics.

Restored real-world images have no originals; papers report their FID to FFHQ. A reference is a
folder in the cache: `reference.json` with what it was made of, and for each extractor a file of
statistics in the layout of pytorch-fid and clean-fid (`mu`, `sigma`), with the features themselves
where they were kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.errors import BenchError
from bench.core.files import read_json
from bench.core.paths import cache_folder
from bench.core.suggest import look_up
from bench.core.validation import read_back
from bench.metrics.features.extractor import Extractor
from bench.metrics.sets.distributions import Gaussian, gaussian

FILE_NAME = "reference.json"

_ROWS = 1024  # images whose features are in memory at a time


@dataclass(frozen=True)
class ReferenceSet:
    """A reference set on disk.

    Attributes:
        name: for people and for `--reference`.
        images: how many; None for a statistics file that does not say.
        sha256: hash of its source: of all images, or of the statistics file.
        source: path or name that it was made from.
        size: pixels that images were resized to; None for their own.
        made_by: label of an extractor -> its identity; "" where statistics were imported.
    """

    name: str
    images: int | None
    sha256: str
    source: str
    size: int | None = None
    made_by: Mapping[str, str] = field(default_factory=dict, compare=False)
    folder: Path = field(default=Path(), compare=False)

    @property
    def identity(self) -> str:
        """Describe what values depend on, for identities of metrics."""
        return f"reference {self.sha256}" + (f" at {self.size} px" if self.size else "")

    def __str__(self) -> str:
        return self.name if self.images is None else f"{self.name} ({self.images:,} images)"

    def statistics(self, extractor: Extractor) -> Path:
        """Return the path of mean and covariance, which may not exist."""
        return self.folder / f"statistics-{extractor.label}.npz"

    def features(self, extractor: Extractor) -> Path:
        """Return the path of features [N, D], which exists if they were kept."""
        return self.folder / f"features-{extractor.label}.npy"

    def lacks(self, extractor: Extractor, features: bool = False) -> str | None:
        """Return why an extractor cannot use it, with the remedy; None if it can."""
        if not self.folder.is_dir():
            return (
                f"The reference {self.name} is missing: "
                f"run `bench reference add {self.name} SOURCE`."
            )
        made_by = self.made_by.get(extractor.label)
        if made_by is None:
            what, option = f"statistics of {extractor.label}", ""
        elif made_by not in ("", extractor.identity):
            what, option = f"statistics of this version of {extractor.label}", ""
        elif features and not self.features(extractor).is_file():
            what, option = f"features of {extractor.label}", " --keep-features"
        else:
            return None
        return (
            f"The reference {self.name} has no {what}: "
            f"run `bench reference add {self.name} {self.source}{option}`."
        )

    def kept_features(self, extractor: Extractor) -> "KeptFeatures":
        """Return the features, which must have been kept."""
        return KeptFeatures(self.features(extractor))

    def gaussian(self, extractor: Extractor) -> Gaussian:
        """Return mean and covariance of the features.

        Raises:
            BenchError: the file is absent or damaged.
        """
        path = self.statistics(extractor)
        return _read_gaussian(path, path.stat().st_mtime_ns if path.is_file() else 0)


@dataclass(frozen=True)
class KeptFeatures:
    """Features [N, D] in a file, read in chunks."""

    path: Path

    def __len__(self) -> int:
        return len(self._array())

    def pieces(self, name: str) -> Iterator[npt.NDArray[np.float64]]:
        """Yield the features in float64, in chunks [n, D]."""
        array = self._array()
        for start in range(0, len(array), _ROWS):
            yield np.asarray(array[start : start + _ROWS], np.float64)

    def _array(self) -> npt.NDArray[np.float32]:
        try:
            found: npt.NDArray[np.float32] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BenchError(
                f"{self.path} is damaged ({error}): add the reference again."
            ) from None
        return found


def references_folder() -> Path:
    """Return the folder of all references."""
    return cache_folder() / "references"


def references() -> list[str]:
    """Return the names of all references."""
    return sorted(path.parent.name for path in references_folder().glob(f"*/{FILE_NAME}"))


def find_reference(name: str) -> ReferenceSet:
    """Open the reference of this name.

    Raises:
        WrongUsage: no such reference; the message suggests close names.
        BenchError: the reference is damaged.
    """
    there = {of: references_folder() / of / FILE_NAME for of in references()}
    otherwise = "`bench reference add NAME SOURCE` makes one."
    file = look_up(name, there, "There is no reference", otherwise)
    reference = read_back(ReferenceSet, read_json(file, "a reference set"), str(file))
    return replace(reference, folder=file.parent)


def find_or_missing(name: str) -> ReferenceSet:
    """Return the reference of this name, or a placeholder whose `lacks` reports it missing."""
    if name in references():
        return find_reference(name)
    return ReferenceSet(name, None, "absent", "SOURCE", folder=references_folder() / name)


def read_statistics(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read mean [D] and covariance [D, D] of a statistics file.

    .npz of pytorch-fid and clean-fid (`mu`, `sigma`), .pth of BasicSR, VQFR and CodeFormer
    (`mean`, `cov`). No code in the file is run.

    Raises:
        BenchError: the file is damaged, or holds something else.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                mean, covariance = arrays["mu"], arrays["sigma"]
        else:
            mean, covariance = _of_torch(path)
        mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    except Exception as error:  # noqa: BLE001 - damaged archives and pickles raise a wide variety
        raise BenchError(
            f"{path} can't be read as statistics ({type(error).__name__}: {error}): "
            "give an .npz with mu and sigma, or a .pth with mean and cov."
        ) from None
    if covariance.shape != (*mean.shape, *mean.shape) or mean.ndim != 1:
        raise BenchError(
            f"{path} holds a mean of shape {list(mean.shape)} and a covariance of shape "
            f"{list(covariance.shape)}: they must be [D] and [D, D]."
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise BenchError(f"{path} holds values that are not finite numbers.")
    return mean, covariance


def _of_torch(path: Path) -> tuple[Any, Any]:
    import torch

    # Names that pickled NumPy arrays need, with the module path of NumPy 1.
    rebuild = np.empty(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    safe: list[Any] = [
        np.ndarray,
        np.dtype,
        *dtypes,
        *((rebuild, f"numpy.{home}.multiarray._reconstruct") for home in ("core", "_core")),
    ]
    with torch.serialization.safe_globals(safe):
        state = torch.load(path, map_location="cpu", weights_only=True)
    return state["mean"], state["cov"]


@cache
def _read_gaussian(path: Path, changed: int) -> Gaussian:
    if not path.is_file():
        raise BenchError(f"{path} is missing: add the reference again.")
    return gaussian(*read_statistics(path))
