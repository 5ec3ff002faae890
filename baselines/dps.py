"""DPS: Diffusion Posterior Sampling (Chung et al., ICLR 2023).

Each step of the prior is followed by a step down the gradient of the measurement's misfit, taken
through the network. Facts from the released code, which states no licence: the misfit is the norm
itself, not its square, and the clean estimate is clipped inside the gradient. Its super-resolution
task adds noise of 0.05 to the measurement that it makes; here the input is the measurement. It
stretches each result between its extremes when it saves; here a result keeps its values.
"""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prediction, Prior, ancestral_step, ddim_step, eps_from_x0
from bench.method import Method, Problem
from bench.settings import NotNegative, Steps

# Pixels of the images whose way through the network is kept at a time: two of 256 px, for which
# ffhq_10m.pt keeps 3.4 GiB. To recompute its blocks on the way back would halve that, and took 1.4
# times as long.
PIXELS_AT_ONCE = 2 * 256**2


@dataclass(frozen=True)
class Settings:
    """`scale` is the step along the gradient; the "ddim" sampler is deterministic (eta 0)."""

    steps: Steps = 1000
    scale: NotNegative = 0.3
    sampler: Literal["ddpm", "ddim"] = "ddpm"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """The measurement is the input itself: [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps)
    return sample(prior, problem.lr, operator, settings, problem.noise)


@torch.no_grad()
def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Algorithm 1 of the paper: measurement [B, 3, h, h] to images [B, 3, H, H]."""
    schedule = prior.schedule
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(schedule))):
        prediction, gradient = guidance(prior, x, y, operator, index)
        fresh = noise.normal_like(x)
        if settings.sampler == "ddim":
            eps = eps_from_x0(schedule, x, prediction.x0_hat, index)
            x = ddim_step(schedule, prediction.x0_hat, eps, fresh, index, eta=0.0)
        else:
            x = ancestral_step(prediction.mean, prediction.log_variance, fresh, index)
        x = x - settings.scale * gradient
    return x


def guidance(
    prior: Prior, x: Tensor, y: Tensor, operator: SeparableOperator, index: int
) -> tuple[Prediction, Tensor]:
    """What the prior says of x_t, and the gradient of |y - A x0_hat| with respect to x_t.

    A part of the batch at a time, so that its size does not decide how much is kept for the way
    back through the network; nothing of that is kept behind the call.
    """
    at_once = max(1, PIXELS_AT_ONCE // (x.shape[-2] * x.shape[-1]))
    parts = zip(torch.split(x, at_once), torch.split(y, at_once), strict=True)
    guided = [_guidance(prior, some_x, some_y, operator, index) for some_x, some_y in parts]
    predictions, gradients = zip(*guided, strict=True)
    whole = {
        field.name: torch.cat([getattr(prediction, field.name) for prediction in predictions])
        for field in fields(Prediction)
    }
    return Prediction(**whole), torch.cat(gradients)


def _guidance(
    prior: Prior, x: Tensor, y: Tensor, operator: SeparableOperator, index: int
) -> tuple[Prediction, Tensor]:
    """One norm per image [B], so that batch mates leave each other alone.

    Only x_t is tracked: parameters may be frozen, and the caller may have turned gradients off.
    """
    with torch.enable_grad():
        tracked = x.detach().requires_grad_()
        prediction = prior.predict(tracked, index)
        misfit = (y - operator(prediction.x0_hat)).flatten(1).norm(dim=1)
        (gradient,) = torch.autograd.grad(misfit.sum(), tracked)
    detached = {f.name: getattr(prediction, f.name).detach() for f in fields(prediction)}
    return Prediction(**detached), gradient


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
