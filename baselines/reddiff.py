"""RED-diff: a variational sampler that optimises the image (Mardani et al., ICLR 2024).

Adam minimises the measurement's misfit plus a denoising regulariser over the timesteps from large
to small. Details from the released code (NVlabs/RED-diff; NVIDIA licence, non-commercial): it
starts at A^+ y with the estimate's own deviation sigma_x0 = 0, and nothing is clipped. Its means
run over the batch; here each image has its own, so that batch mates do not matter, which changes
nothing but the scale of Adam's epsilon.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.adam import Adam
from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior, noised
from bench.methods import Method, Problem
from bench.methods.settings import NotNegative, Steps

WEIGHTINGS: Mapping[str, Callable[[float], float]] = {
    "linear": lambda ratio: ratio,
    "sqrt": math.sqrt,
    "square": lambda ratio: ratio**2,
    "log": lambda ratio: math.log(1 + ratio),
    "trunc_linear": lambda ratio: min(ratio, 1.0),
    "power2over3": lambda ratio: ratio ** (2 / 3),
    "const": lambda ratio: 1.0,
}
"""Weight of the regulariser by the noise-to-signal ratio sqrt(1 - alpha_bar) / sqrt(alpha_bar)."""


BETAS = (0.9, 0.99)
"""Adam's decays of the first and second moment."""


@dataclass(frozen=True)
class Settings:
    """Settings of RED-diff.

    Attributes:
        steps: steps of Adam and of the schedule, at a constant integer stride from 0.
        learning_rate: Adam's.
        weight: weight of the regulariser; the released `grad_term_weight`.
        weighting: how it depends on the noise level.
        operator: A.
    """

    steps: Steps = 1000
    learning_rate: NotNegative = 0.1
    weight: NotNegative = 0.25
    weighting: Literal[
        "linear", "sqrt", "square", "log", "trunc_linear", "power2over3", "const"
    ] = "linear"
    operator: Literal["bicubic", "average"] = "bicubic"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    return optimise(prior, problem.lr, operator, settings, problem.noise)


@torch.no_grad()
def optimise(
    prior: Prior,
    y: Tensor,
    operator: SeparableOperator,
    settings: Settings,
    noise: Noise,
    epsilon: float = 1e-8,
) -> Tensor:
    """Run Algorithm 1; return the optimised images [B, 3, H, W].

    The gradient needs no backward pass: the network's output enters the loss detached. `epsilon`
    is Adam's, relative to the loss of one image.
    """
    schedule = prior.schedule
    mu = operator.pseudo_inverse(y)
    adam = Adam.start(mu, BETAS, epsilon)
    weight_of = WEIGHTINGS[settings.weighting]
    for index in reversed(range(len(schedule))):
        alpha_bar = float(schedule.alpha_bar[index])
        drawn = noise.normal_like(mu)
        x = noised(schedule, mu, drawn, index)
        eps = prior.predict(x, index, clip=False).eps
        weight = settings.weight * weight_of(math.sqrt((1 - alpha_bar) / alpha_bar))
        regulariser = weight / mu[0].numel() * (eps - drawn)
        misfit = operator.adjoint(operator(mu) - y) / y[0].numel()
        adam = adam.next(regulariser + misfit)
        mu = adam.moved(mu, settings.learning_rate)
    return mu


METHOD = Method(
    name="reddiff",
    title="RED-diff",
    # Learning rate 0.1 and weight 0.25, linear: the released configuration, at every scale. The
    # paper takes 1000 steps; the released commands also 100.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Mardani et al., A Variational Perspective on Solving Inverse Problems with Diffusion "
    "Models, ICLR 2024",
    licence="NVIDIA, non-commercial",
)
