"""SwinIR trained for faces by DifFace's authors, as the estimator of their method.

The architecture is Liang et al.'s (2021), the weights are Yue and Loy's (S-Lab licence,
non-commercial). By itself it is a restorer like the others, smooth where they invent.
"""

from dataclasses import dataclass

from torch import Tensor

from bench.methods import Method, Problem
from bench.networks.restorers import restore_at_512


@dataclass(frozen=True)
class Settings:
    """No settings."""


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore in one pass at 512 px, in [0, 1]: [B, 3, h, w] to [B, 3, H, W]."""
    network = problem.network("swinir")
    return restore_at_512(problem.lr, problem.size, lambda x: 2 * network((x + 1) / 2) - 1)


METHOD = Method(
    name="swinir",
    title="SwinIR",
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"swinir"}),
    paper="Liang et al., SwinIR: Image Restoration Using Swin Transformer, ICCV Workshops 2021",
    licence="S-Lab, non-commercial",
)
