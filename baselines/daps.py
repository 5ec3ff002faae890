"""DAPS: Decoupled Annealing Posterior Sampling (Zhang et al., CVPR 2025), in pixel space.

At each noise level an ODE gives x0_hat, Langevin or Hamiltonian Monte Carlo samples x0 given the
measurement around it, and fresh noise of the next level is added. Details from the released code
(MIT): levels are EDM's with exponent 7, the network gets a continuous time, the last level is 0.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from torch import Tensor

from bench.core.validation import Positive
from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, PositiveFloat

LARGEST, SMALLEST, ODE_END = 100.0, 0.1, 0.01
"""Noise levels: first and last of the annealing, and the end of each ODE."""

EXPONENT = 7
LAST_RATE = 0.01
"""Ratio of the last step size to the first; `lr_min_ratio` in the released code."""


@dataclass(frozen=True)
class Settings:
    """Settings of DAPS. NFE is annealing_steps * ode_steps.

    Attributes:
        annealing_steps: noise levels.
        ode_steps: Euler steps of the probability-flow ODE at each level.
        mcmc_steps: at each level.
        learning_rate: step size of the first level.
        tau: standard deviation of the measurement's noise that is assumed, in units of [-1, 1].
        mcmc: Langevin dynamics, or Hamiltonian Monte Carlo.
        momentum: momentum of Hamiltonian Monte Carlo.
    """

    annealing_steps: Positive = 200
    ode_steps: Positive = 5
    mcmc_steps: Positive = 100
    learning_rate: PositiveFloat = 1e-4
    tau: PositiveFloat = 0.01
    mcmc: Literal["langevin", "hmc"] = "langevin"
    momentum: Fraction = 0.9


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    return sample(problem.prior, problem.lr, operator, settings, problem.noise)


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1: measurements [B, 3, h, h] to images [B, 3, H, H]."""
    levels = edm_levels(LARGEST, SMALLEST, settings.annealing_steps)
    levels[-1] = 0.0
    x = LARGEST * noise.normal_like(operator.adjoint(y))
    for index, (sigma, following) in enumerate(pairwise(levels)):
        x0_hat = solve_ode(prior, x, sigma, settings.ode_steps)
        share = index / len(levels)
        rate = settings.learning_rate * (1 + share * (LAST_RATE - 1))
        x0 = posterior_sample(x0_hat, y, operator, sigma, rate, settings, noise)
        x = x0 + following * noise.normal_like(x0)
    return x


def edm_levels(first: float, last: float, steps: int) -> list[float]:
    """Return steps + 1 levels, evenly spaced in their 7th root (Karras et al. 2022, Eq. 5)."""
    roots = np.linspace(first ** (1 / EXPONENT), last ** (1 / EXPONENT), steps + 1)
    return [float(level) for level in roots**EXPONENT]


def solve_ode(prior: Prior, x: Tensor, sigma: float, steps: int) -> Tensor:
    """Follow the probability-flow ODE from sigma to ODE_END with Euler's method."""
    levels = edm_levels(sigma, ODE_END, steps)
    for level, following in pairwise(levels):
        x = x + (following - level) * (x - prior.denoise(x, level)) / level
    return x


def posterior_sample(
    x0_hat: Tensor,
    y: Tensor,
    operator: SeparableOperator,
    sigma: float,
    rate: float,
    settings: Settings,
    noise: Noise,
) -> Tensor:
    """Sample x0 from p(y | x0) N(x0; x0_hat, sigma^2), starting at x0_hat (Eq. 9 of the paper)."""

    def score(x: Tensor) -> Tensor:
        return 2 / settings.tau**2 * operator.adjoint(y - operator(x)) + (x0_hat - x) / sigma**2

    x, root = x0_hat, math.sqrt(rate)
    if settings.mcmc == "langevin":
        for _ in range(settings.mcmc_steps):
            x = x + rate * score(x) + math.sqrt(2) * root * noise.normal_like(x)
        return x
    velocity = noise.normal_like(x)
    for _ in range(settings.mcmc_steps):
        kick = math.sqrt(2 * (1 - settings.momentum)) * noise.normal_like(x)
        velocity = settings.momentum * velocity + root * score(x) + kick
        x = x + root * velocity
    return x


METHOD = Method(
    name="daps",
    title="DAPS",
    # 200 levels, 5 ODE steps, 100 Langevin steps: the released commands for super-resolution, which
    # are for x4, at every scale.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=lambda s: s.annealing_steps * s.ode_steps,
    paper="Zhang et al., Improving Diffusion Inverse Problem Solving with Decoupled Noise "
    "Annealing, CVPR 2025",
    licence="MIT",
)
