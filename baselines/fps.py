"""FPS: Filtering Posterior Sampling (Dou & Song, ICLR 2024).

A sequence of noisy measurements y_t is drawn first, from y by the reverse of DDIM. Then every
x_{t-1} is drawn from the prior's step conditioned on y_{t-1} = A x_{t-1} + sqrt(alpha_bar) sigma n,
a Gaussian known in the singular basis. This is the paper's FPS, one particle per image; FPS-SMC,
which resamples several, is not here. Details from the released code, which states no licence: c is
0.95, eps is the network's although x0_hat is clipped, and the result is the last x0_hat. The
released code conditions x_{t-1} on y_t, starts from x_T as if it were x_{T-1}, and never divides
the first y by its variance; here the indices and the first step follow the paper. There is no
comparison with a recorded run: the tests verify the conditional distribution, and the posterior on
Gaussian images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.methods import Method, Problem
from bench.methods.settings import NotNegative, PositiveFraction, Steps


@dataclass(frozen=True)
class Settings:
    """Settings of FPS.

    Attributes:
        steps: steps of the reverse diffusion.
        c: share of fresh noise in the variance 1 - alpha_bar_{t-1}; the rest follows eps.
        sigma_y: standard deviation of the measurement's noise in [-1, 1]; 0 means that of the
            test set.
        operator: measurement operator.
    """

    steps: Steps = 1000
    c: PositiveFraction = 0.95
    sigma_y: NotNegative = 0.0
    operator: Literal["bicubic", "average"] = "bicubic"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps)
    settings = replace(settings, sigma_y=settings.sigma_y or problem.sigma)
    return sample(prior, problem.lr, operator, settings, problem.noise)


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1 with one particle: measurements [B, 3, h, h] to images [B, 3, H, H]."""
    schedule = prior.schedule
    ys = noisy_measurements(schedule, y, operator, settings.c, noise)
    fresh = noise.normal_like(operator.adjoint(y))
    deviations = [settings.sigma_y * math.sqrt(bar) for bar in schedule.alpha_bar]
    x = conditioned(torch.zeros_like(fresh), 1.0, ys[-1], deviations[-1], operator, fresh)
    for index in reversed(range(1, len(schedule))):
        prediction = prior.predict(x, index)
        alpha_bar = float(schedule.alpha_bar_prev[index])
        level = math.sqrt((1 - settings.c) * (1 - alpha_bar))
        mean = math.sqrt(alpha_bar) * prediction.x0_hat + level * prediction.eps
        deviation = math.sqrt(settings.c * (1 - alpha_bar))
        fresh = noise.normal_like(x)
        x = conditioned(mean, deviation, ys[index - 1], deviations[index - 1], operator, fresh)
    return prior.predict(x, 0).x0_hat


def noisy_measurements(
    schedule: Schedule, y: Tensor, operator: SeparableOperator, c: float, noise: Noise
) -> Sequence[Tensor]:
    """Draw y_t [B, 3, h, h] for each index of the schedule, from the noisiest to the cleanest.

    Each is sqrt(alpha_bar) y + sqrt(1 - alpha_bar) A n with standard normal n; neighbours share
    the part 1 - c of n's variance.
    """
    like = operator.adjoint(y)
    drawn = operator(noise.normal_like(like))
    found = []
    for index in reversed(range(len(schedule))):
        alpha_bar = float(schedule.alpha_bar[index])
        found.append(math.sqrt(alpha_bar) * y + math.sqrt(1 - alpha_bar) * drawn)
        drawn = math.sqrt(1 - c) * drawn + math.sqrt(c) * operator(noise.normal_like(like))
    return found[::-1]


def conditioned(
    mean: Tensor,
    deviation: float,
    y: Tensor,
    y_deviation: float,
    operator: SeparableOperator,
    fresh: Tensor,
) -> Tensor:
    """Draw x [B, 3, H, H] from N(mean, deviation^2) given y = A x + y_deviation n.

    `fresh` is standard normal noise of x's shape; y_deviation may be 0, deviation may not.
    """
    svd = operator.svd()
    singular, y_bar = svd.singular_on(y), svd.measured(y)
    x_bar, noise_bar = svd.spectrum(mean), deviation * svd.spectrum(fresh)
    ratio = (y_deviation / deviation) ** 2
    h, w = y.shape[-2:]  # the corner of a spectrum that is measured
    kept = ratio / (ratio + singular**2)
    x_bar[..., :h, :w] += (1 - kept) * (y_bar / singular - x_bar[..., :h, :w])
    noise_bar[..., :h, :w] *= kept.sqrt()
    return svd.image(x_bar + noise_bar)


METHOD = Method(
    name="fps",
    title="FPS",
    # At every scale 1000 steps and c = 0.95: the released x4 configuration.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Dou & Song, Diffusion Posterior Sampling for Linear Inverse Problem Solving: A "
    "Filtering Perspective, ICLR 2024",
    licence="none stated",
)
