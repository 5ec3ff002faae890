"""ILVR: Iterative Latent Variable Refinement (Choi et al., ICCV 2021).

The prior samples freely, and after each step the low frequencies of the sample are replaced by
those of the reference at the same noise level. Details from the released code (MIT).
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from bench.core.errors import WrongUsage
from bench.diffusion.noise import Noise
from bench.diffusion.operators import bicubic, bicubic_up
from bench.diffusion.prior import Prior, ancestral_step, noised
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem
from bench.methods.settings import Divisor, Steps


@dataclass(frozen=True)
class Settings:
    """`down` is N, the factor of the low-pass filter; refinement ends at index `range_t`."""

    down: Divisor
    steps: Steps = 100
    range_t: Annotated[int, Ge(0)] = 20

    def __post_init__(self) -> None:
        if self.range_t >= self.steps:
            raise WrongUsage(
                f"settings.ilvr.range_t is {self.range_t}, but must be below the {self.steps} "
                "steps: nothing would be refined."
            )


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Use the upsampled input as reference: [B, 3, h, w] to [B, 3, H, W]."""
    reference = resize_bicubic_batch(problem.lr, problem.size)
    prior = problem.prior.respaced(settings.steps)
    return sample(prior, reference, settings.down, settings.range_t, problem.noise)


def low_pass(x: Tensor, down: int) -> Tensor:
    """Apply the paper's phi_N: downscale by `down` and upscale again, [B, 3, H, H] to the same."""
    size = x.shape[-1]
    return bicubic_up(size, down)(bicubic(size, down)(x))


def sample(prior: Prior, reference: Tensor, down: int, range_t: int, noise: Noise) -> Tensor:
    """Run Algorithm 1 with the reference [B, 3, H, W] noised to the level of x_t."""
    x = noise.normal_like(reference)
    for index in reversed(range(len(prior.schedule))):
        prediction = prior.predict(x, index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
        if index > range_t:
            target = noised(prior.schedule, reference, noise.normal_like(x), index)
            x = x + low_pass(target - x, down)
    return x


METHOD = Method(
    name="ilvr",
    title="ILVR",
    # 100 steps and range_t 20 (in respaced indices) at every scale, N = scale: the released
    # README's command for super-resolution.
    settings=lambda scale: Settings(down=scale),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Choi et al., ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models, "
    "ICCV 2021",
    licence="MIT",
)
