"""Bicubic interpolation by PIL, as in the paper's Bicubic row."""

from dataclasses import dataclass

from torch import Tensor

from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem


@dataclass(frozen=True)
class Settings:
    """No settings."""


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Enlarge the 8-bit input and round to 8 bits: [B, 3, h, w] to [B, 3, H, W]."""
    return resize_bicubic_batch(problem.lr, problem.size)


METHOD = Method(name="bicubic", title="Bicubic", settings=lambda scale: Settings(), restore=restore)
