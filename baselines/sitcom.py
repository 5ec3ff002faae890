"""SITCOM: step-wise triple-consistent sampling (Alkhouri et al., ICML 2025).

At every step Adam optimises the network's input until its x0_hat meets the measurement, and x0_hat
is noised to the next step. Details from the released code, which states no licence: x0_hat is
clipped inside the gradient, Adam starts anew at every step and stops once the misfit's deviation is
below sigma_y + 0.001, the paper's pull towards the step's first input has weight 0, and the result
is the last x0_hat. The released script keeps the iterate of highest PSNR against the ground truth;
a method must not see that, so here the last one counts.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.core.validation import Positive
from bench.diffusion.adam import Adam
from bench.diffusion.guidance import guided
from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import Prior, noised
from bench.methods import Method, Problem
from bench.methods.settings import NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """Settings of SITCOM.

    Attributes:
        steps: N, of the schedule.
        iterations: K, of Adam at each step. An image that meets its measurement stays as it is,
            but is still computed, so that no step waits for a value.
        learning_rate: Adam's.
        tolerance: added to sigma_y; optimisation of an image stops below it.
        sigma_y: standard deviation of the measurement's noise in [-1, 1]; 0 means that of the test
            set.
    """

    steps: Steps = 20
    iterations: Positive = 30
    learning_rate: NotNegative = 0.02
    tolerance: NotNegative = 0.001
    sigma_y: NotNegative = 0.0


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = bicubic(problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    settings = replace(settings, sigma_y=settings.sigma_y or problem.sigma)
    return sample(prior, problem.lr, operator, settings, problem.noise)


@torch.no_grad()
def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Run Algorithm 1: measurements [B, 3, h, h] to images [B, 3, H, H]."""
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(prior.schedule))):
        x0_hat = consistent(prior, x, y, operator, settings, index)
        if index:
            x = noised(prior.schedule, x0_hat, noise.normal_like(x), index - 1)
    return x0_hat


def consistent(
    prior: Prior,
    x: Tensor,
    y: Tensor,
    operator: SeparableOperator,
    settings: Settings,
    index: int,
) -> Tensor:
    """Return x0_hat [B, 3, H, H] of an input near x_t for which A x0_hat is close to y."""
    enough = (settings.sigma_y + settings.tolerance) ** 2 * y[0].numel()

    def misfit(x0_hat: Tensor, y: Tensor) -> Tensor:
        return (operator(x0_hat) - y).square().flatten(1).sum(dim=1)

    adam = Adam.start(x)
    for _ in range(settings.iterations):
        prediction, gradient = guided(prior, x, y, misfit, index)
        adam = adam.next(gradient)
        unmet = (misfit(prediction.x0_hat, y) >= enough).reshape(-1, 1, 1, 1)
        x = torch.where(unmet, adam.moved(x, settings.learning_rate), x)
    return prediction.x0_hat


METHOD = Method(
    name="sitcom",
    title="SITCOM",
    # N = 20, K = 30 and learning rate 0.02: the released command for super-resolution at x4.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=lambda s: s.steps * s.iterations,
    paper="Alkhouri et al., SITCOM: Step-wise Triple-Consistent Diffusion Sampling for Inverse "
    "Problems, ICML 2025",
    licence="none stated",
)
