"""DiffPIR: plug-and-play restoration with a diffusion prior (Zhu et al., CVPRW 2023).

Each step denoises, moves x0_hat towards the measurement by a proximal step, and adds noise, a share
of which is the current estimate's. Details from the released code (main_ddpir_sisr, MIT): the last
timestep has no data term, and its result is x, not x0_hat. It draws a random sample per step that
it does not use; here none is drawn.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Interval
from torch import Tensor
from torch.nn import functional as F

from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior, eps_from_x0, noised
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, NotNegative, PositiveFloat

LEVELS = 1000
"""Number of timesteps of the full schedule."""


@dataclass(frozen=True)
class Settings:
    """Settings of DiffPIR.

    Attributes:
        steps: timesteps taken, by `spacing`; "uniform" adds the last one.
        spacing: "quad" takes more timesteps where there is much noise.
        data: "ibp" is iterative back projection, "gradient" a gradient step on |y - A x0|.
        zeta: share of fresh noise in a step.
        eta: DDIM's, for the remaining share.
        weight: lambda, of the prior against the measurement.
        gamma: step size of "ibp".
        sigma_y: standard deviation of the measurement's noise that the proximal step assumes, in
            units of [0, 1]; for a test set with noise, that noise is assumed.
    """

    steps: Annotated[int, Interval(ge=2, le=LEVELS)] = 100
    spacing: Literal["quad", "uniform"] = "quad"
    data: Literal["ibp", "gradient"] = "ibp"
    zeta: Fraction = 0.1
    eta: Fraction = 0.0
    weight: PositiveFloat = 1.0
    gamma: NotNegative = 0.01
    sigma_y: PositiveFloat = 0.05


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    # Keys' kernel with a = -0.75, as OpenCV's enlargement in the released script.
    initial = F.interpolate(problem.lr, (problem.size, problem.size), mode="bicubic")
    if problem.sigma:
        settings = replace(settings, sigma_y=problem.sigma / 2)
    return sample(problem.prior, problem.lr, initial, operator, settings, problem.noise)


def sample(
    prior: Prior,
    y: Tensor,
    initial: Tensor,
    operator: SeparableOperator,
    settings: Settings,
    noise: Noise,
) -> Tensor:
    """Run Algorithm 1 from the noised initial estimate; all images are in [-1, 1].

    `y` is [B, 3, h, h], `initial` and the result [B, 3, H, H].
    """
    schedule = prior.schedule
    timesteps = descending_timesteps(settings.steps, settings.spacing)
    x = noised(schedule, initial, noise.normal_like(initial), int(timesteps[0]))
    for now, then in zip(timesteps[:-1].tolist(), timesteps[1:].tolist(), strict=True):
        x0 = prior.predict(x, now).x0_hat
        alpha_bar = float(schedule.alpha_bar[now])
        rho = settings.weight * settings.sigma_y**2 * alpha_bar / (1 - alpha_bar)
        residual = y - operator(x0)
        if settings.data == "ibp":
            spread = F.interpolate(residual, x.shape[-2:], mode="nearest")
            x0 = x0 + settings.gamma / (1 + rho) * spread
        else:  # the norm's gradient times the norm
            x0 = x0 + operator.adjoint(residual) / rho
        eps = eps_from_x0(schedule, x, x0, now)
        next_bar = float(schedule.alpha_bar[then])
        sigma = settings.eta * math.sqrt((1 - next_bar) / (1 - alpha_bar) * schedule.betas[now])
        own = math.sqrt(1 - next_bar - sigma**2) * eps + sigma * noise.normal_like(x)
        fresh = math.sqrt(1 - next_bar) * noise.normal_like(x)
        x = (
            math.sqrt(next_bar) * x0
            + math.sqrt(1 - settings.zeta) * own
            + math.sqrt(settings.zeta) * fresh
        )
    return x


def descending_timesteps(steps: int, spacing: str) -> npt.NDArray[np.int64]:
    """Return the timesteps from LEVELS - 1 to 0, as the released code chooses them."""
    if spacing == "quad":
        sequence = np.sqrt(np.linspace(0, LEVELS**2, steps)).astype(np.int64)
        sequence[-1] -= 1
    else:
        sequence = np.append(np.arange(0, LEVELS, LEVELS // steps), LEVELS - 1)
    return LEVELS - 1 - np.unique(sequence)


METHOD = Method(
    name="diffpir",
    title="DiffPIR",
    # The released x4 configuration for super-resolution, used at every scale.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=lambda s: len(descending_timesteps(s.steps, s.spacing)) - 1,
    paper="Zhu et al., Denoising Diffusion Models for Plug-and-Play Image Restoration, CVPRW 2023",
    licence="MIT",
)
