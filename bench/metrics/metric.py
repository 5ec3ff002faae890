"""What a metric is: one number per picture, from the picture and its original.

Metrics of whole sets of pictures (FID, KID) are another thing and not met here.
"""

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:  # reading a metric's name must not cost the import of torch
    from bench.images import Pixels


@dataclass(frozen=True)
class Metric(ABC):
    """A metric, described for tables, and how to compute it.

    Building one and reading these fields is cheap: what is heavy is imported on first use.

    Attributes:
        name: how people ask for it, like "lpips-vgg".
        title: what tables print.
        higher_is_better: its direction.
        unit: "dB", or "" for a pure number.
        digits: decimals to print.
        place: metrics are listed by this number, then by name.
    """

    name: str
    title: str
    higher_is_better: bool
    unit: str
    digits: int
    place: int

    @property
    @abstractmethod
    def identity(self) -> str:
        """All that the value depends on: equal identities promise equal values."""

    def unavailable(self) -> str | None:
        """Why it can't be computed here, with the command that mends it; None when it can."""
        return None

    def score(self, sr: "Sequence[Pixels]", hr: "Sequence[Pixels]") -> list[float]:
        """Compare each picture with its original.

        Args:
            sr: the pictures, uint8 RGB [H, W, 3]; sizes may differ from one to the next.
            hr: their originals, in the same order and of the same sizes.

        Returns:
            One value per picture. It depends on that picture and its original alone, up to 1e-5.

        Raises:
            BenchError: the lists are empty or of different lengths, a picture differs in size
                from its original or is too small, or the metric is unavailable.
        """
        if not sr or not hr:
            raise BenchError(f"{self.title} got no pictures to score: give at least one.")
        if len(sr) != len(hr):
            raise BenchError(
                f"{self.title} got {len(sr)} pictures and {len(hr)} originals: "
                "give one original per picture."
            )
        for index, (picture, original) in enumerate(zip(sr, hr, strict=True)):
            self._check(index, picture, original)
        return self._values(sr, hr)

    def _check(self, index: int, picture: "Pixels", original: "Pixels") -> None:
        for pixels in (picture, original):
            if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
                raise BenchError(
                    f"{self.title}: picture {index} is {pixels.dtype} of shape "
                    f"{list(pixels.shape)}: give uint8 of shape [H, W, 3]."
                )
        if picture.shape != original.shape:
            raise BenchError(
                f"{self.title}: picture {index} is {size(picture)} but its original is "
                f"{size(original)}: give pictures of the original's size."
            )
        if min(picture.shape[:2]) < self._smallest():
            raise BenchError(
                f"{self.title}: picture {index} is {size(picture)}: "
                f"give at least {self._smallest()} pixels each way."
            )

    def _smallest(self) -> int:
        """The least height and width it is defined for."""
        return 1

    @abstractmethod
    def _values(self, sr: "Sequence[Pixels]", hr: "Sequence[Pixels]") -> list[float]:
        """`score` of lists that were checked."""


def size(pixels: "Pixels") -> str:
    """Width and height of a picture [H, W, 3] for people: "256x128"."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def package_version(package: str) -> str:
    """The installed version of a package, "absent" where it isn't installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
