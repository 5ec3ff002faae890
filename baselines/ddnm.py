"""DDNM: Denoising Diffusion Null-space Model (Wang et al., ICLR 2023).

The clean estimate's range-space part is replaced by that of the measurement, so that A x0 = y
holds at every step, and a DDIM step follows. Facts from the released code (MIT): its main path,
with the SVD operators and without clipping of the clean estimate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.diffusion.prior import Prior, noised
from bench.method import Method, Problem

OPERATORS = {"bicubic": bicubic, "average": average_pooling}


@dataclass(frozen=True)
class Settings:
    """With `travel_repeat` r > 1 every `travel_length` steps are walked r times (time travel)."""

    steps: int = 100
    eta: float = 0.85
    operator: Literal["bicubic", "average"] = "bicubic"
    travel_length: int = 1
    travel_repeat: int = 1


def restore(problem: Problem, settings: Settings) -> Tensor:
    """The measurement is the input itself: [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    sample_out, _ = sample(prior, problem.lr, operator, settings, problem.noise)
    return sample_out


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Algorithm 1, with Algorithm 3's time travel; returns the sample and the last estimate.

    `y` [B, 3, h, w] is the measurement; both results are [B, 3, H, W].
    """
    schedule = prior.schedule
    x = x0 = noise.normal_like(operator.adjoint(y))
    for index, following in time_travel(
        len(schedule), settings.travel_length, settings.travel_repeat
    ):
        if following > index:  # back to more noise, from the estimate before its projection
            x = noised(schedule, x0, noise.normal_like(x), following)
            continue
        prediction = prior.predict(x, index, clip=False)
        x0 = prediction.x0_hat
        x0_hat = x0 - operator.pseudo_inverse(operator(x0) - y)  # Eq. 14
        alpha_bar = schedule.alpha_bar_prev[index]
        fresh = settings.eta * noise.normal_like(x)
        kept = math.sqrt(1 - settings.eta**2) * prediction.eps
        x = math.sqrt(alpha_bar) * x0_hat + math.sqrt(1 - alpha_bar) * (fresh + kept)
    return x, x0


def time_travel(steps: int, length: int, repeat: int) -> Iterator[tuple[int, int]]:
    """Pairs (index, next index) of a walk from `steps - 1` to -1 that goes back on its way.

    Whenever a multiple of `length` is reached, the walk goes `length` steps back to where it came
    from and walks them again, until it was there `repeat` times (RePaint's schedule).
    """
    visits = dict.fromkeys(range(0, steps - length, length), repeat - 1)
    index = steps - 1
    while index >= 0:
        if visits.get(index, 0) > 0:
            visits[index] -= 1
            for _ in range(length):
                yield index, index + 1
                index += 1
        yield index, index - 1
        index -= 1


METHOD = Method(
    name="ddnm",
    title="DDNM",
    # 100 steps, eta 0.85 and no time travel: the released configuration for super-resolution.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Wang et al., Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model, "
    "ICLR 2023",
    licence="MIT",
)
