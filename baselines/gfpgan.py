"""GFPGAN: face restoration with a generative facial prior (Wang et al., CVPR 2021).

Details from the released code (Apache-2.0, with parts under other terms), for faces that are
aligned, with the weights of version 1.4.
"""

from dataclasses import dataclass

from torch import Tensor

from bench.methods import Method, Problem
from bench.networks.restorers import NoisedGFPGAN, restore_at_512


@dataclass(frozen=True)
class Settings:
    """No settings: the released command's `weight` has no effect on this version."""


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore in one pass at 512 px with noise per layer: [B, 3, h, w] to [B, 3, H, W]."""
    network = problem.network("gfpgan")
    shapes = NoisedGFPGAN.noise_shapes(len(problem.lr))
    noise = [problem.noise.normal_like(problem.lr.new_empty(shape)) for shape in shapes]
    return restore_at_512(problem.lr, problem.size, lambda x: network(x, *noise)[0])


METHOD = Method(
    name="gfpgan",
    title="GFPGAN",
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"gfpgan"}),
    paper="Wang et al., Towards Real-World Blind Face Restoration with Generative Facial Prior, "
    "CVPR 2021",
    licence="Apache-2.0, with parts under other terms",
)
