"""Samplers held to what is known exactly for Gaussian images."""

import dataclasses

import pytest
import torch
from torch import Tensor

from baselines import ddnm, ilvr
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic, bicubic_up
from bench.diffusion.prior import sample as sample_prior
from bench.dpi.masks import fixed_mask
from bench.dpi.sampler import DPISettings
from bench.dpi.sampler import sample as sample_dpi
from tests.oracle import GAUSSIAN, PRIOR_MEAN, REPETITIONS, SCALE, SIZE, many, noise


def distance(images: Tensor, target: Tensor) -> float:
    """Root mean square distance of the images' mean from a target [1, 3, 8, 8]."""
    return float((images.mean(0, keepdim=True) - target).square().mean().sqrt())


def test_prior_has_the_right_mean_and_covariance() -> None:
    count = 800
    start = torch.zeros(count, 3, SIZE, SIZE)
    draws = noise(count)
    images = sample_prior(GAUSSIAN.prior(), draws.normal_like(start), draws)
    flat = images.flatten(1).double()
    deviation = float(GAUSSIAN.covariance.diagonal().max()) ** 0.5
    # The mean of 800 draws is off by deviation / sqrt(800), the worst of 192 pixels by 4 of that.
    assert (flat.mean(0) - GAUSSIAN.mean).abs().max() < 4.5 * deviation / count**0.5
    covariance = torch.cov(flat.T)
    exact = torch.cov(GAUSSIAN.draw(count, seed=1).flatten(1).double().T)

    def error(estimate: Tensor) -> float:
        return float((estimate - GAUSSIAN.covariance).norm() / GAUSSIAN.covariance.norm())

    # 1000 steps leave 2 % of the variance out; the rest is the error of 800 exact draws too.
    assert error(covariance) < 1.25 * error(exact)
    assert float(covariance.trace() / GAUSSIAN.covariance.trace()) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)])
def test_ddnm_meets_the_measurement_and_the_posterior(operator: SeparableOperator) -> None:
    truth = GAUSSIAN.draw(1, seed=5)
    y = operator(truth)
    images = run_ddnm(operator, y)
    # float32 products over 8 pixels per axis
    assert (operator(images) - y).abs().max() < 1e-5
    posterior = GAUSSIAN.posterior_mean(operator, y)
    # DDNM is not exact, but its mean must explain nearly all that the measurement tells.
    assert distance(images, posterior) < 0.15 * distance(PRIOR_MEAN, posterior)
    assert images.var(0).mean() > 1e-3, "the null space is sampled, not filled with one value"


def test_ddnm_without_its_consistency_fails() -> None:
    operator = bicubic(SIZE, SCALE)
    y = operator(GAUSSIAN.draw(1, seed=5))
    blind = dataclasses.replace(operator, inverse=torch.zeros_like(operator.inverse))
    images = run_ddnm(blind, y)
    posterior = GAUSSIAN.posterior_mean(operator, y)
    assert (operator(images) - y).abs().max() > 0.1
    assert distance(images, posterior) > 0.5 * distance(PRIOR_MEAN, posterior)


def run_ddnm(operator: SeparableOperator, y: Tensor) -> Tensor:
    prior = GAUSSIAN.prior().respaced(50, "strided")
    images, _ = ddnm.sample(prior, many(y), operator, ddnm.Settings(), noise(REPETITIONS))
    return images


def test_ilvr_takes_over_the_low_frequencies() -> None:
    truth = GAUSSIAN.draw(1, seed=5)
    reduce = bicubic(SIZE, SCALE)
    reference = bicubic_up(SIZE, SCALE)(reduce(truth)).expand(REPETITIONS, -1, -1, -1)
    prior = GAUSSIAN.prior().respaced(100)

    def remaining(range_t: int) -> float:
        images = ilvr.sample(prior, reference, SCALE, range_t, noise(REPETITIONS))
        return distance(reduce(images), reduce(reference[:1]))

    assert remaining(range_t=0) < 0.02
    assert remaining(range_t=99) > 0.05, "without any refinement the prior goes its own way"


def exact_corrector(operator: SeparableOperator, y: Tensor) -> Tensor:
    """What a perfectly trained Corrector says of the grid: the posterior mean there."""
    return GAUSSIAN.posterior_mean(operator, y) * fixed_mask(SIZE, 2)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_dpi_interpolates_from_an_exact_corrector(sampler: str) -> None:
    operator = bicubic(SIZE, SCALE)
    y = operator(GAUSSIAN.draw(1, seed=5))
    posterior = GAUSSIAN.posterior_mean(operator, y)
    answer = exact_corrector(operator, y)
    base = answer[..., ::2, ::2].expand(REPETITIONS, -1, -1, -1)
    settings = DPISettings(tau=0, s=1, omega=1000, steps=100, sampler=sampler)  # type: ignore[arg-type]

    def run(corrected: Tensor) -> Tensor:
        def corrector(condition: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
            return corrected.expand_as(condition)

        return sample_dpi(GAUSSIAN.prior(), corrector, base, settings, noise(REPETITIONS))

    images = run(answer)
    on_grid = fixed_mask(SIZE, 2).bool()[0, 0]
    # Stage I to the end leaves the condition itself on the grid.
    assert (images - posterior)[..., on_grid].abs().max() < 1e-4
    off_grid = (images.mean(0, keepdim=True) - posterior)[..., ~on_grid].square().mean().sqrt()
    unconditioned = (PRIOR_MEAN - posterior)[..., ~on_grid].square().mean().sqrt()
    assert off_grid < 0.35 * unconditioned, "between the grid's points the prior must interpolate"
    assert distance(run(-answer), posterior) > distance(images, posterior)
