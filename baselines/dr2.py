"""DR2: Diffusion-based Robust Degradation Remover (Wang et al., CVPR 2023).

The input is noised to an intermediate level and denoised as in ILVR, which keeps its low
frequencies and drowns its degradation in noise. Sampling stops some steps before the end; x0_hat,
smooth and free of artefacts, goes to an enhancement network. Details from the released code (MIT).
Its enhancer is SPARNetHD at 512 pixels, with CodeFormer among the options; here it is any method of
the harness.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.prior import Prior, ancestral_step, noised
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.methods import DEFAULT, Inner, Method, Problem
from bench.methods.settings import Divisor

from .ilvr import low_pass

STEPS = 100  # the released respacing, in whose indices N and tau were published

# (N, tau) of the released demonstration, for three degrees of degradation; ours is their
# assignment to the scales.
PUBLISHED = {4: (4, 22), 8: (8, 35), 16: (16, 35)}


@dataclass(frozen=True)
class Settings:
    """`down` is the paper's N, the factor of the low-pass filter; `tau` the index to stop at.

    `enhancer` names the method that finishes the work; its input is x0_hat in 8 bits,
    at full size. By default it is CodeFormer at 512 pixels, else "bicubic", which changes nothing
    at full size, so that DR2's own output is the result.
    """

    down: Divisor
    tau: Annotated[int, Interval(ge=0, le=STEPS - 2)]
    enhancer: str = DEFAULT


def published(scale: int) -> Settings:
    """Return the published settings; other scales use those of the next larger published scale."""
    down, tau = PUBLISHED[min((s for s in PUBLISHED if s >= scale), default=16)]
    return Settings(down=down, tau=tau)


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Use the upsampled input as reference: [B, 3, h, w] to [B, 3, H, W]."""
    reference = resize_bicubic_batch(problem.lr, problem.size)
    prior = problem.prior.respaced(STEPS)
    start = start_index(settings.down, settings.tau)
    clean = sample(prior, reference, settings.down, settings.tau, start, problem.noise)
    return problem.restored_inside(to_model(to_pixels(clean)).to(clean.device))


def start_index(down: int, tau: int) -> int:
    """Return the start index omega of the released code: more noise for coarser filters.

    The code allows 100, one more than the last index; here it is the last.
    """
    steps = next((n for limit, n in ((1, 5), (2, 10), (4, 20), (8, 25)) if down <= limit), 30)
    return min(tau + steps, STEPS - 1)


def sample(
    prior: Prior, reference: Tensor, down: int, tau: int, start: int, noise: Noise
) -> Tensor:
    """Sample from the reference [B, 3, H, W], noised at index `start`, to x0_hat at `tau`.

    Unlike ILVR's, the low frequencies are those of the reference at the level just reached.
    """
    x = noised(prior.schedule, reference, noise.normal_like(reference), start)
    for index in range(start, tau, -1):
        prediction = prior.predict(x, index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
        target = noised(prior.schedule, reference, noise.normal_like(x), index - 1)
        x = x + low_pass(target - x, down)
    return prior.predict(x, tau).x0_hat


METHOD = Method(
    name="dr2",
    title="DR2",
    settings=published,
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=lambda s: start_index(s.down, s.tau) - s.tau + 1,
    paper="Wang et al., DR2: Diffusion-based Robust Degradation Remover for Blind Face "
    "Restoration, CVPR 2023",
    licence="MIT",
    inner=Inner("enhancer", published={512: "codeformer"}),
)
