"""MPGD: Manifold Preserving Guided Diffusion, without projection (He et al., ICLR 2024).

DDIM with x0_hat moved down the gradient of the measurement's misfit before each step. The gradient
is taken with respect to x0_hat, not through the network as in DPS, so that a step costs no backward
pass. Details from the released code (MIT, derived from that of DPS): the misfit is the norm itself,
x0_hat is clipped before it is moved and not after, eps belongs to the clipped x0_hat, and the step
is divided by sqrt(alpha_bar_{t-1}). The variants with an autoencoder's projection are not here:
they need a network of another kind.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior, ddim_step, eps_from_x0
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, NotNegative, Steps, check_spacing


@dataclass(frozen=True)
class Settings:
    """`scale` is the step size along the gradient, released: 17.5, 7.5 and 4 for 20, 50 and 100."""

    steps: Steps = 100
    scale: NotNegative = 4.0
    eta: Fraction = 0.5

    def __post_init__(self) -> None:
        check_spacing(self.steps, "ddim", "settings.mpgd")


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "ddim")
    return sample(prior, problem.lr, operator, settings, problem.noise)


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1: measurements [B, 3, h, h] to images [B, 3, H, H]."""
    schedule = prior.schedule
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(schedule))):
        x0_hat = prior.predict(x, index).x0_hat
        eps = eps_from_x0(schedule, x, x0_hat, index)
        length = settings.scale / math.sqrt(float(schedule.alpha_bar_prev[index]))
        x0_hat = x0_hat - length * gradient_of_misfit(x0_hat, y, operator)
        x = ddim_step(schedule, x0_hat, eps, noise.normal_like(x), index, settings.eta)
    return x


def gradient_of_misfit(x0: Tensor, y: Tensor, operator: SeparableOperator) -> Tensor:
    """Return the gradient of each image's ||y - A x0|| with respect to x0 [B, 3, H, H]."""
    missing = operator(x0) - y
    norm = missing.flatten(1).norm(dim=1).clamp_min(1e-12)  # at 0 the gradient is 0
    return operator.adjoint(missing / norm.reshape(-1, 1, 1, 1))


METHOD = Method(
    name="mpgd",
    title="MPGD",
    # The released x4 configuration, for noise of 0.05, used at every scale.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="He et al., Manifold Preserving Guided Diffusion, ICLR 2024",
    licence="MIT",
)
