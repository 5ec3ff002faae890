"""Bicubic interpolation, as PIL does it and as the paper's Bicubic row was scored."""

from dataclasses import dataclass

from torch import Tensor

from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem


@dataclass(frozen=True)
class Settings:
    """There is nothing to set."""


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Enlarge the 8-bit input to 8 bits again: [B, 3, h, w] to [B, 3, H, W]."""
    return resize_bicubic_batch(problem.lr, problem.size)


METHOD = Method(name="bicubic", title="Bicubic", settings=lambda scale: Settings(), restore=restore)
