"""DDRM: Denoising Diffusion Restoration Models (Kawar et al., NeurIPS 2022).

In the operator's singular basis every coefficient is a separate problem. Where the diffusion is
noisier than the measurement, the coefficient takes the measured value; where it is cleaner, it is
pulled towards that value; unmeasured coefficients are sampled freely. Details from the released
code (MIT): x0_hat is not clipped, and the last step returns it as it is, without the measurement.
The noise is drawn in pixels rather than in the singular basis, which is not the same on every
machine.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.operators import OPERATORS, SeparableOperator
from bench.diffusion.prior import Prior
from bench.methods import Method, Problem
from bench.methods.settings import Fraction, NotNegative, Steps


@dataclass(frozen=True)
class Settings:
    """Settings in the paper's symbols: `eta` weights fresh noise, `eta_b` the measurement.

    `sigma_y` is the standard deviation of the measurement's noise in [-1, 1]; 0 means that
    of the test set. The released option counts in [0, 1] and is doubled there.
    """

    steps: Steps = 20
    eta: Fraction = 0.85
    eta_b: Fraction = 1.0
    sigma_y: NotNegative = 0.0
    operator: Literal["bicubic", "average"] = "bicubic"


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore the measurements [B, 3, h, w] to [B, 3, H, W]."""
    operator = OPERATORS[settings.operator](problem.size, problem.scale)
    prior = problem.prior.respaced(settings.steps, "strided")
    settings = replace(settings, sigma_y=settings.sigma_y or problem.sigma)
    return sample(prior, problem.lr, operator, settings, problem.noise)


def sample(
    prior: Prior, y: Tensor, operator: SeparableOperator, settings: Settings, noise: Noise
) -> Tensor:
    """Sample by Eq. 4, 7 and 8: measurements [B, 3, h, h] to images [B, 3, H, H].

    The paper's x_t is that of the schedule divided by sqrt(alpha_bar), its sigma_t the deviation
    of that noise. A bar, as in x_bar, marks coefficients in the singular basis.
    """
    schedule, svd = prior.schedule, operator.svd()
    singular = svd.singular_on(y)
    y_bar = svd.measured(y) / singular
    deviation = settings.sigma_y / singular  # of the noise in y_bar

    sigma = _sigma(schedule.alpha_bar[-1])
    x_bar = sigma * svd.spectrum(noise.normal_like(operator.adjoint(y)))
    drawn = _measured_part(x_bar, y)
    known = y_bar + (1 - (deviation / sigma) ** 2).clamp_min(0).sqrt() * drawn
    drawn.copy_(torch.where(sigma > deviation, known, drawn))
    x = svd.image(x_bar) / sigma  # the released code's; sqrt(alpha_bar) to within 1e-4

    for index in reversed(range(1, len(schedule))):
        prediction = prior.predict(x, index, clip=False)
        sigma = _sigma(schedule.alpha_bar_prev[index])
        x0_bar = svd.spectrum(prediction.x0_hat)
        fresh = svd.spectrum(noise.normal_like(x))
        kept = math.sqrt(1 - settings.eta**2) * svd.spectrum(prediction.eps)
        x_bar = x0_bar + sigma * (kept + settings.eta * fresh)
        x_bar_measured = measured_step(
            _measured_part(x0_bar, y), y_bar, deviation, sigma, _measured_part(fresh, y), settings
        )
        _measured_part(x_bar, y).copy_(x_bar_measured)
        x = math.sqrt(schedule.alpha_bar_prev[index]) * svd.image(x_bar)
    return prior.predict(x, 0, clip=False).x0_hat


def measured_step(
    x0_bar: Tensor,
    y_bar: Tensor,
    deviation: Tensor,
    sigma: float,
    fresh: Tensor,
    settings: Settings,
) -> Tensor:
    """Apply Eq. 7 and 8 to the measured coefficients [B, 3, h, h] at the next noise level > 0.

    `deviation` [h, h] is that of the noise in `y_bar`; where it is 0 the first case always holds.
    """
    added = (sigma**2 - (settings.eta_b * deviation) ** 2).clamp_min(0).sqrt()
    noisier = (1 - settings.eta_b) * x0_bar + settings.eta_b * y_bar + added * fresh
    towards = math.sqrt(1 - settings.eta**2) * (y_bar - x0_bar) / deviation
    cleaner = x0_bar + sigma * (towards + settings.eta * fresh)
    return torch.where(sigma > deviation, noisier, cleaner)


def _sigma(alpha_bar: float) -> float:
    return math.sqrt(1 / alpha_bar - 1)


def _measured_part(spectrum: Tensor, y: Tensor) -> Tensor:
    """Return a view of the measured coefficients [B, 3, h, h]."""
    return spectrum[..., : y.shape[-2], : y.shape[-1]]


METHOD = Method(
    name="ddrm",
    title="DDRM",
    # At every scale 20 steps, eta 0.85, eta_b 1 and sigma_y 0: the paper's for measurements without
    # noise, and the released command's. Bicubic is the operator that made the tables' inputs.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Kawar et al., Denoising Diffusion Restoration Models, NeurIPS 2022",
    licence="MIT",
)
