"""PnP-DM: plug-and-play priors by diffusion (Wu et al., NeurIPS 2024).

A split Gibbs sampler of p(x) N(z; x, rho^2) p(y | z): in turn z is drawn given x, a Gaussian with
known eigenvectors, and x given z, by the reverse diffusion from noise level rho on. rho falls from
step to step to a value above 0, so that x samples p(x) N(y; A x, sigma^2 + rho^2 A A^T). Details
from the released code, mode vp_sde: Euler's method in the time of the variance-preserving SDE, no
noise in the last step, x starts at 0. It draws the noise of z in the singular basis; here it is
drawn in pixels. There is no recorded run of it here: the tests verify the distribution on Gaussian
images.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from bench.core.errors import WrongUsage
from bench.core.validation import Positive
from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, PositiveFloat, Steps

BETA_MIN, BETA_RANGE = 0.1, 19.9
FIRST_TIME = 1e-3
"""Smallest positive time at which the network is evaluated."""


@dataclass(frozen=True)
class Settings:
    """Settings of PnP-DM.

    Attributes:
        iterations: iterations of the Gibbs sampler.
        rho: coupling of x and z in the first iteration.
        rho_decay: its factor from one iteration to the next.
        rho_min: its least value.
        steps: steps of the whole reverse diffusion; an iteration takes those below its rho.
        mode: reverse SDE, or probability-flow ODE.
        sigma_y: standard deviation of the measurement's noise that is assumed, in [-1, 1]; for a
            test set with noise, that noise is assumed.
        operator: measurement operator.
    """

    iterations: Positive = 100
    rho: PositiveFloat = 10.0
    rho_decay: Fraction = 0.9
    rho_min: PositiveFloat = 0.3
    steps: Steps = 100
    mode: Literal["sde", "ode"] = "sde"
    sigma_y: PositiveFloat = 0.05
    operator: Literal["bicubic", "average"] = "bicubic"

    def __post_init__(self) -> None:
        if self.rho_min <= level(FIRST_TIME):
            raise WrongUsage(
                f"settings.pnpdm.rho_min is {self.rho_min}, but must be above "
                f"{level(FIRST_TIME):.3g}, the least noise level of the reverse diffusion."
            )


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    settings = replace(settings, sigma_y=problem.sigma or settings.sigma_y)
    return sample(problem.prior, problem.lr, operator, settings, problem.noise).clamp(-1, 1)


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1: measurements [B, 3, h, h] to images [B, 3, H, H], the last x."""
    x = torch.zeros_like(operator.adjoint(y))
    for rho in couplings(settings):
        z = likelihood_step(x, y, operator, settings.sigma_y, rho, noise)
        x = prior_step(prior, z, rho, settings, noise)
    return x


def couplings(settings: Settings) -> Iterator[float]:
    """Yield rho of each iteration."""
    for iteration in range(settings.iterations):
        yield max(settings.rho * settings.rho_decay**iteration, settings.rho_min)


def likelihood_step(
    x: Tensor, y: Tensor, operator: SeparableOperator, sigma: float, rho: float, noise: Noise
) -> Tensor:
    """Draw z [B, 3, H, H] from N(z; x, rho^2) N(y; A z, sigma^2), Eq. 7."""
    svd = operator.svd()
    singular = svd.singular_on(x)
    h, w = singular.shape
    precision = torch.full(x.shape[-2:], 1 / rho**2, dtype=x.dtype, device=x.device)
    precision[:h, :w] += (singular / sigma) ** 2
    pull = svd.spectrum(x) / rho**2
    pull[..., :h, :w] += singular * svd.measured(y) / sigma**2
    fresh = svd.spectrum(noise.normal_like(x))
    return svd.image(pull / precision + fresh / precision.sqrt())


def prior_step(prior: Prior, z: Tensor, rho: float, settings: Settings, noise: Noise) -> Tensor:
    """Draw x [B, 3, H, H] from p(x) N(z; x, rho^2) by the reverse diffusion, Eq. 9."""
    times = [time for time in all_times(settings.steps) if level(time) < rho]
    factor = 2 if settings.mode == "sde" else 1
    x = z * signal(times[0])
    for time, following in pairwise([*times, 0.0]):
        sigma, kept, slope = level(time), signal(time), level_slope(time)
        denoised = prior.denoise(x / kept, sigma)
        drift = factor * slope / sigma * (x - kept * denoised) - sigma * slope * kept**2 * x
        x = x + (following - time) * drift
        if following > 0 and settings.mode == "sde":
            spread = kept * math.sqrt(2 * slope * sigma * (time - following))
            x = x + spread * noise.normal_like(x)
    return x


def all_times(steps: int) -> list[float]:
    """Return the times of the full reverse diffusion, evenly spaced from 1 to `FIRST_TIME`."""
    return [1 + index / (steps - 1) * (FIRST_TIME - 1) for index in range(steps)]


def level(time: float) -> float:
    """Return the noise level sigma(t) of the variance-preserving SDE."""
    return math.sqrt(math.expm1(0.5 * BETA_RANGE * time**2 + BETA_MIN * time))


def level_slope(time: float) -> float:
    """Return the derivative of `level`."""
    sigma = level(time)
    return 0.5 * (BETA_MIN + BETA_RANGE * time) * (sigma + 1 / sigma)


def signal(time: float) -> float:
    """Return sqrt(alpha_bar) at a time."""
    return 1 / math.sqrt(1 + level(time) ** 2)


def expected_nfe(settings: Settings) -> int:
    """Return the NFE per image."""
    levels = [level(time) for time in all_times(settings.steps)]
    return sum(sum(sigma < rho for sigma in levels) for rho in couplings(settings))


METHOD = Method(
    name="pnpdm",
    title="PnP-DM",
    # commands.sh for FFHQ: vp_sde, rho 10 falling by 0.9 to 0.3; its configs: 100 iterations, 100
    # steps, noise 0.05 at x4. Its metrics are of the last state, and of a mean over the last ones.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=expected_nfe,
    paper="Wu et al., Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play "
    "Priors, NeurIPS 2024",
    licence="none stated",
)
