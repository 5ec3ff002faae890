"""DPS: Diffusion Posterior Sampling (Chung et al., ICLR 2023).

Each step of the prior is followed by a step down the gradient of the measurement's misfit, taken
through the network. Details from the released code, which states no licence: the misfit is the norm
itself, not its square, and x0_hat is clipped inside the gradient. Its super-resolution task adds
noise of 0.05 to the measurement that it makes; here the input is the measurement. It stretches each
result between its extremes when it saves; here a result keeps its values.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.guidance import guided, misfit
from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior, ancestral_step, ddim_step, eps_from_x0
from bench.methods import Method, Problem
from bench.methods.settings import NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """`scale` is the step size along the gradient; the "ddim" sampler is deterministic (eta 0)."""

    steps: Steps = 1000
    scale: NotNegative = 0.3
    sampler: Literal["ddpm", "ddim"] = "ddpm"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps)
    return sample(prior, problem.lr, operator, settings, problem.noise)


@torch.no_grad()
def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1: measurements [B, 3, h, h] to images [B, 3, H, H]."""
    schedule = prior.schedule

    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(schedule))):
        prediction, gradient = guided(prior, x, y, misfit(operator), index)
        fresh = noise.normal_like(x)
        if settings.sampler == "ddim":
            eps = eps_from_x0(schedule, x, prediction.x0_hat, index)
            x = ddim_step(schedule, prediction.x0_hat, eps, fresh, index, eta=0.0)
        else:
            x = ancestral_step(prediction.mean, prediction.log_variance, fresh, index)
        x = x - settings.scale * gradient
    return x


METHOD = Method(
    name="dps",
    title="DPS",
    # At every scale 1000 ancestral steps and scale 0.3: the released configuration for
    # super-resolution, which is for x4; the paper's appendix has a scale of 1.0 there, on FFHQ.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, "
    "ICLR 2023",
    licence="none stated",
)
