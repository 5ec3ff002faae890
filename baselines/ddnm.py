"""DDNM: Denoising Diffusion Null-space Model (Wang et al., ICLR 2023).

The range-space part of x0_hat is replaced by that of the measurement, so that A x0 = y holds at
every step, and a DDIM step follows; where the measurement is noisy (DDNM+), only as far as its
noise allows. Details from the released code (MIT), which does not clip x0_hat and has two paths:
the main one, with SVD operators, and the one of its quick start, "simplified".
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from bench.core.errors import WrongUsage
from bench.core.validation import Positive
from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior, noised
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """Settings of DDNM. `travel_repeat` r > 1 repeats every `travel_length` steps r times.

    `sigma_y` is the standard deviation of the measurement's noise in [-1, 1]; 0 means that of the
    test set. The released option is in units of [0, 1]; the released code doubles it. Its main path
    supports noise for average pooling only; here the same formula is applied in the singular basis
    of any operator. `form` selects the path of the released code. "simplified" is its quick start,
    which came with average pooling and multiplies all noise of a step by sqrt(1 - alpha_bar^2),
    which leaves less noise than the schedule prescribes. "released" is the main path exactly as
    written for average pooling, see `released_step`; with a noiseless y it equals "svd".
    """

    steps: Steps = 100
    eta: Fraction = 0.85
    operator: Literal["bicubic", "average"] = "bicubic"
    travel_length: Positive = 1
    travel_repeat: Positive = 1
    sigma_y: NotNegative = 0.0
    form: Literal["svd", "simplified", "released"] = "svd"

    def __post_init__(self) -> None:
        if self.form == "released" and self.operator != "average":
            raise WrongUsage(
                "settings.ddnm.form is 'released', which the released code supports for average "
                "pooling only: "
                "set operator to 'average', or form to 'svd'."
            )


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    settings = replace(settings, sigma_y=settings.sigma_y or problem.sigma)
    sample_out, _ = sample(prior, problem.lr, operator, settings, problem.noise)
    return sample_out


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Run Algorithm 1 with Algorithm 3's time travel; return the sample and the last x0_hat.

    `y` [B, 3, h, w] is the measurement; both results are [B, 3, H, W].
    """
    schedule = prior.schedule
    step = STEPS[settings.form]
    x = x0 = noise.normal_like(operator.adjoint(y))
    for index, following in time_travel(
        len(schedule), settings.travel_length, settings.travel_repeat
    ):
        if following > index:  # back to more noise, from the estimate before its projection
            x = noised(schedule, x0, noise.normal_like(x), following)
            continue
        prediction = prior.predict(x, index, clip=False)
        x0 = prediction.x0_hat
        excess = operator.pseudo_inverse(operator(x0) - y)
        alpha_bar = float(schedule.alpha_bar_prev[index])
        x0_hat, added = step(
            x0, excess, prediction.eps, noise.normal_like(x), alpha_bar, operator, settings
        )
        x = math.sqrt(alpha_bar) * x0_hat + added
    return x, x0


def svd_step(
    x0: Tensor,
    excess: Tensor,
    eps: Tensor,
    fresh: Tensor,
    alpha_bar: float,
    operator: SeparableOperator,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Return the corrected x0_hat (Eq. 14, Eq. 17 for noisy y) and the noise to add.

    `excess` is A^+ (A x0 - y), `fresh` the draw, `alpha_bar` that of the level to reach; all images
    are [B, 3, H, W]. With a noisy y, each measured coefficient is corrected only as far as its
    noise stays below the level's, and only the noise missing up to the level is drawn (Eq. 51).
    """
    level, kept = math.sqrt(1 - alpha_bar), math.sqrt(1 - settings.eta**2)
    if settings.sigma_y == 0:
        return x0 - excess, level * (settings.eta * fresh + kept * eps)
    svd = operator.svd()
    deviation = math.sqrt(alpha_bar) * settings.sigma_y / svd.singular_on(x0)
    excess_bar, fresh_bar = svd.spectrum(excess), svd.spectrum(fresh)
    added_bar = level * (settings.eta * fresh_bar + kept * svd.spectrum(eps))
    h, w = deviation.shape  # the corner of a spectrum that is measured
    excess_bar[..., :h, :w] *= torch.where(level < deviation, kept * level / deviation, 1.0)
    missing = (level**2 - deviation**2).clamp_min(0).sqrt()
    drawn = torch.where(level < deviation, settings.eta * level, missing)
    added_bar[..., :h, :w] = drawn * fresh_bar[..., :h, :w]
    return x0 - svd.image(excess_bar), svd.image(added_bar)


def released_step(
    x0: Tensor,
    excess: Tensor,
    eps: Tensor,
    fresh: Tensor,
    alpha_bar: float,
    operator: SeparableOperator,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Correct like `svd_step`, with the noise weights of the released `Lambda_noise`.

    The released code applies the weights, meant for coefficients, to the pixels of each square (the
    first pixel stands for the measured direction), and only then treats the products as
    coefficients. This leaves the distribution of fresh noise unchanged, but rotates eps.
    """
    x0_hat, added = svd_step(x0, excess, eps, fresh, alpha_bar, operator, settings)
    if settings.sigma_y == 0:
        return x0_hat, added
    low, high = operator.matrix.shape
    scale = high // low
    level = math.sqrt(1 - alpha_bar)
    deviation = math.sqrt(alpha_bar) * settings.sigma_y * scale  # the singular value is 1 / scale
    drawn = torch.full((scale**2,), level * settings.eta, device=x0.device)
    kept = torch.full_like(drawn, level * math.sqrt(1 - settings.eta**2))
    kept[0] = 0
    if level >= deviation:
        drawn[0] = math.sqrt(level**2 - deviation**2)
    row = torch.full((1, scale**2), 1 / scale**2)
    _, _, right = torch.svd(row, some=False)  # whose other columns depend on LAPACK
    fresh_squares, eps_squares = (
        pixel_unshuffle(part, scale).reshape(len(x0), -1, scale**2, low, low)
        for part in (fresh, eps)
    )
    spectrum = fresh_squares * drawn[:, None, None] + eps_squares * kept[:, None, None]
    turned = torch.einsum("pk,bckhw->bcphw", right.to(x0), spectrum)
    return x0_hat, pixel_shuffle(turned.flatten(1, 2), scale)


def simplified_step(
    x0: Tensor,
    excess: Tensor,
    eps: Tensor,
    fresh: Tensor,
    alpha_bar: float,
    operator: SeparableOperator,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Correct with one weight for all coefficients (Eq. 17 to 19), as the quick start does.

    It uses alpha_bar in place of the paper's a_t = sqrt(alpha_bar), and applies the factor sigma_t
    to noise that is already scaled to the level.
    """
    sigma, noise_of_y = math.sqrt(1 - alpha_bar**2), alpha_bar * settings.sigma_y
    share = 1.0 if sigma >= noise_of_y else sigma / noise_of_y
    gamma = math.sqrt(max(0.0, sigma**2 - noise_of_y**2))
    kept = math.sqrt(1 - settings.eta**2)
    added = gamma * math.sqrt(1 - alpha_bar) * (settings.eta * fresh + kept * eps)
    return x0 - share * excess, added


STEPS = {"svd": svd_step, "simplified": simplified_step, "released": released_step}
"""Form -> function that corrects x0_hat and returns the noise of a step."""


def time_travel(steps: int, length: int, repeat: int) -> Iterator[tuple[int, int]]:
    """Return pairs (index, next index) from `steps - 1` to -1, with time travel.

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
    # 100 steps, eta 0.85 and no time travel: the released configuration for super-resolution, at
    # every scale. Its evaluation command for bicubic x4 has sigma_y 0 and takes the main path; the
    # only noisy ones are for average pooling (x16, sigma_y 0.2 in [0, 1]).
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Wang et al., Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model, "
    "ICLR 2023",
    licence="MIT",
)
