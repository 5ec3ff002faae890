"""PiGDM: Pseudoinverse-guided diffusion (Song et al., ICLR 2023).

Each DDIM step is moved along the vector-Jacobian product of x0_hat with A^+ y - A^+ A x0_hat.
Details from the released code (NVlabs/RED-diff, its PGDM; NVIDIA licence, non-commercial): it
starts from the noised A^+ y, and x0_hat is not clipped. Noiseless measurements only.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.guidance import guided
from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior, noised
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """Settings of PiGDM.

    Attributes:
        steps: steps of the schedule, at a constant integer stride from 0.
        eta: 0 is deterministic, 1 ancestral.
        weight: weight of the guidance; the paper's r_t^2 and the released `grad_term_weight`.
        awd: scale the guidance by sqrt(alpha_bar alpha_bar_prev), as released. Without it the
            guidance is what moving x0_hat, and eps with it, adds to a DDIM step.
        operator: A.
    """

    steps: Steps = 100
    eta: Fraction = 1.0
    weight: NotNegative = 1.0
    awd: bool = True
    operator: Literal["bicubic", "average"] = "bicubic"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    return sample(prior, problem.lr, operator, settings, problem.noise)[0]


@torch.no_grad()
def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Run Algorithm 1; return the sample and the last x0_hat, both [B, 3, H, W]."""
    schedule = prior.schedule
    target = operator.pseudo_inverse(y)

    def agreement(x0_hat: Tensor, target: Tensor) -> Tensor:
        residual = target - operator.pseudo_inverse(operator(x0_hat))
        return (residual.detach() * x0_hat).flatten(1).sum(dim=1)

    x = noised(schedule, target, noise.normal_like(target), len(schedule) - 1)
    x0_hat = target
    for index in reversed(range(len(schedule))):
        prediction, gradient = guided(prior, x, target, agreement, index, clip=False)
        x0_hat = prediction.x0_hat
        now, then = float(schedule.alpha_bar[index]), float(schedule.alpha_bar_prev[index])
        c1 = settings.eta * math.sqrt((1 - now / then) * (1 - then) / (1 - now))  # DDIM's sigma
        c2 = math.sqrt(1 - then - c1**2)
        pull = math.sqrt(then)
        if not settings.awd:
            pull -= c2 * math.sqrt(now / (1 - now))
        x = (
            math.sqrt(then) * x0_hat
            + c1 * noise.normal_like(x)
            + c2 * prediction.eps
            + pull * math.sqrt(now) * settings.weight * gradient
        )
    return x, x0_hat


METHOD = Method(
    name="pigdm",
    title="PiGDM",
    # 100 steps and eta 1.0: the released commands for super-resolution, at every scale.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023",
    licence="NVIDIA, non-commercial",
)
