"""Degradations: from an HR picture to its LR input."""

from collections.abc import Callable, Mapping

from bench.images import Pixels, resize_bicubic

Degradation = Callable[[Pixels, int], Pixels]
"""(HR [H, H, 3], scale) -> LR [H / scale, H / scale, 3]."""


def bicubic(hr: Pixels, scale: int) -> Pixels:
    """PIL's bicubic filter with rounding to 8 bits: the paper's loader, and its LR inputs."""
    return resize_bicubic(hr, len(hr) // scale)


DEGRADATIONS: Mapping[str, Degradation] = {"bicubic": bicubic}
