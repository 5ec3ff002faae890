"""DPI: Diffusion Prior Interpolation (Yang et al., AAAI-25).

The sampler lives in `bench/dpi`; this file has the paper's settings per scale.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.dpi.sampler import DPISettings, base_condition, sample
from bench.methods import Method, Problem

# (tau, s, omega) of the paper's Experimental Setup. Inputs of the results' size, scale 1, are those
# of blind and real-world sets, which get x16's.
PUBLISHED = {
    1: (500.0, 1.0, 1000.0),
    4: (100.0, 1.4, 500.0),
    8: (300.0, 1.2, 750.0),
    16: (500.0, 1.0, 1000.0),
}

# What the paper's Table 4 leaves out. It does not say which k it took in place of 2; 4 is the next
# that divides an image of 256 px, and needs a Corrector that was trained on its grid.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "w/o CRT": {"correction": "none"},
    "w/o Refine": {"correction": "once"},
    "w/o Stage II": {"tau": 0.0},
    "w/o Weight": {"weighted": False},
    "k = 4": {"k": 4},
}


def settings(scale: int) -> DPISettings:
    """Return the paper's settings; other scales use those of the next larger published scale."""
    nearest = min((s for s in PUBLISHED if s >= scale), default=16)
    tau, s, omega = PUBLISHED[nearest]
    return DPISettings(tau=tau, s=s, omega=omega)


def restore(problem: Problem, settings: DPISettings) -> Tensor:
    """Resize the input to the grid's size and run Algorithm 1: [B, 3, H, W]."""
    base = base_condition(problem.lr, problem.size, settings)
    return sample(problem.prior, problem.corrector, base, settings, problem.noise)


METHOD = Method(
    name="dpi",
    title="DPI",
    settings=settings,
    restore=restore,
    needs=frozenset({"prior", "corrector"}),
    nfe=lambda s: s.steps if s.correction == "none" else 2 * s.steps - (s.form == "released"),
    revision=2,  # on respaced schedules the Corrector is told the noise that it sees
    paper="Yang et al., Diffusion Prior Interpolation for Flexibility Real-World Face "
    "Super-Resolution, AAAI 2025",
    licence="",
    variants=VARIANTS,
)
