"""Consistency with the LR input, and diversity of repetitions.

Consistency with the LR input says whether a method restored this face or another one; diversity,
whether its repetitions are several answers or one. Neither has a best value by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.base import Measure, Metric, Reference
from bench.metrics.perceptual import ALEX, Lpips
from bench.metrics.pixel import psnr
from bench.testsets.degradation import bicubic


@dataclass(frozen=True)
class LrConsistency(Metric):
    """PSNR between the downscaled result and the LR input.

    Attributes:
        degradation: the test set's; one that draws at random can't be repeated from the image.
    """

    compared_with: ClassVar[Reference] = "lr"

    degradation: str = "bicubic"

    @property
    def identity(self) -> str:
        return f"lr-psnr: PSNR of LR inputs, RGB, 8 bits, degradation {self.degradation}"

    def unavailable(self) -> str | None:
        if self.degradation != "bicubic":
            return (
                f"Degradation {self.degradation!r} cannot be applied to results: "
                "prepare a test set with `--degradation bicubic`."
            )
        return None

    def of_testset(self, recipe: str, degradation: str) -> Self:
        return replace(self, degradation=degradation)

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        if any(len(picture) == len(lr) for picture, lr in zip(sr, hr, strict=True)):
            raise BenchError(f"{self.title} compares a result with its LR input, not with HR.")
        return [
            psnr(bicubic(picture, len(picture) // len(lr)), lr)
            for picture, lr in zip(sr, hr, strict=True)
        ]


@dataclass(frozen=True)
class Diversity(Lpips):
    """Mean pairwise LPIPS between the repetitions of an image."""

    compared_with: ClassVar[Reference] = "repetitions"

    @property
    def identity(self) -> str:
        return f"between repetitions, {super().identity}"


METRICS: tuple[Measure, ...] = (
    LrConsistency("lr-psnr", "LR-PSNR", higher_is_better=True, unit="dB", digits=2, place=70),
    Diversity("diversity", "Diversity", True, "", 4, 71, *ALEX),
)
