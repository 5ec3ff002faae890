"""MCG: Manifold Constrained Gradient (Chung et al., NeurIPS 2022).

Each step of the prior is followed by a step down the gradient of the measurement's misfit, taken
through the network as in DPS, and by a projection onto the noised measurement. The released code
(Apache-2.0) has no super-resolution; the code of DPS offers MCG as an alternative method, with step
size 1. This version differs from both in two ways: the projection takes the pseudo-inverse of the
operator, where DPS's code repeats pixels; and the measurement is noised to the level of x_{t-1}, as
in the paper's Eq. 16, where both take that of x_t, so that the result is consistent with the input.
No recorded run is compared: the tests prove the step by autograd and the measurement.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.diffusion.guidance import guided, misfit
from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior, ancestral_step
from bench.methods import Method, Problem
from bench.methods.settings import NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """`scale` is the step size along the gradient."""

    steps: Steps = 1000
    scale: NotNegative = 1.0


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
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(prior.schedule))):
        prediction, gradient = guided(prior, x, y, misfit(operator), index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
        x = x - settings.scale * gradient
        alpha_bar = float(prior.schedule.alpha_bar_prev[index])
        y_noise = operator(noise.normal_like(x))
        y_noised = math.sqrt(alpha_bar) * y + math.sqrt(1 - alpha_bar) * y_noise
        x = x + operator.pseudo_inverse(y_noised - operator(x))
    return x


METHOD = Method(
    name="mcg",
    title="MCG",
    # At every scale the released 1000 ancestral steps, and the step size of DPS's code.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Chung et al., Improving Diffusion Models for Inverse Problems using Manifold "
    "Constraints, NeurIPS 2022",
    licence="Apache-2.0",
)
