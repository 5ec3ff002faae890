"""RestoreFormer: face restoration from undegraded key-value pairs (Wang et al., CVPR 2022).

Details from the code that GFPGAN's authors released it with, for faces that are aligned.
"""

from dataclasses import dataclass

from torch import Tensor

from bench.methods import Method, Problem
from bench.networks.restorers import restore_at_512


@dataclass(frozen=True)
class Settings:
    """No settings."""


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore in one pass at 512 px: [B, 3, h, w] to [B, 3, H, W]."""
    network = problem.network("restoreformer")
    return restore_at_512(problem.lr, problem.size, lambda x: network(x)[0])


METHOD = Method(
    name="restoreformer",
    title="RestoreFormer",
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"restoreformer"}),
    paper="Wang et al., RestoreFormer: High-Quality Blind Face Restoration from Undegraded "
    "Key-Value Pairs, CVPR 2022",
    licence="Apache-2.0, with parts under other terms",
)
