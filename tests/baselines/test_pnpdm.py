"""PnP-DM: the distribution it samples on Gaussian images, its steps, and its levels."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines import pnpdm
from bench.core.errors import WrongUsage
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.methods import Models, Problem
from tests.oracle import GAUSSIAN, REPETITIONS, SCALE, SIZE, many, noise

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)


@dataclass(frozen=True)
class Exact:
    """The prior of Gaussian images at every noise level, not at a schedule's alone."""

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        covariance = GAUSSIAN.covariance
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(covariance)))
        flat = GAUSSIAN.mean + (x.double().flatten(1) - GAUSSIAN.mean) @ gain.T
        return flat.reshape(x.shape).to(x)


EXACT: Any = Exact()


def stationary(
    operator: SeparableOperator, y: Tensor, sigma: float, rho: float
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of p(x) N(y; A x, sigma^2 + rho^2 A A^T)."""
    a = torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix)).double()
    prior = GAUSSIAN.covariance
    noise_of = sigma**2 * torch.eye(len(a)) + rho**2 * a @ a.T
    gain = prior @ a.T @ torch.linalg.inv(a @ prior @ a.T + noise_of)
    mean = GAUSSIAN.mean + (y.double().flatten() - a @ GAUSSIAN.mean) @ gain.T
    return mean, prior - gain @ a @ prior


@both_operators
@pytest.mark.parametrize("rho", [0.1, 0.3])
def test_it_samples_the_distribution_of_its_paper(operator: SeparableOperator, rho: float) -> None:
    truth = GAUSSIAN.draw(1, seed=5)
    clean = operator(truth)
    y = clean + 0.1 * noise(1).normal_like(clean)
    settings = pnpdm.Settings(
        iterations=40, rho=1.0, rho_decay=0.7, rho_min=rho, sigma_y=0.1, steps=200
    )
    images = pnpdm.sample(EXACT, many(y), operator, settings, noise(REPETITIONS)).double()
    mean, covariance = stationary(operator, y, 0.1, rho)
    variances = covariance.diagonal()
    # The mean of 200 draws strays by a fourteenth of their deviation; 0.1 leaves room for Euler's.
    missed = (images.flatten(1).mean(0) - mean).square().mean().sqrt()
    assert missed < 0.15 * variances.mean().sqrt()
    assert float(images.flatten(1).var(0).mean() / variances.mean()) == pytest.approx(1, abs=0.1)
    # Not the prior's, nor that of a measurement without noise.
    assert (GAUSSIAN.mean - mean).square().mean().sqrt() > 3 * missed


@both_operators
def test_the_likelihood_step_draws_from_its_gaussian(operator: SeparableOperator) -> None:
    x, rho, sigma = GAUSSIAN.draw(1, seed=1), 0.3, 0.2
    y = operator(GAUSSIAN.draw(1, seed=2))
    a = torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix)).double()
    covariance = torch.linalg.inv(a.T @ a / sigma**2 + torch.eye(a.shape[1]) / rho**2)
    mean = covariance @ (a.T @ y.double().flatten() / sigma**2 + x.double().flatten() / rho**2)

    class Silent:
        def normal_like(self, like: Tensor) -> Tensor:
            return torch.zeros_like(like)

    silent: Any = Silent()
    found = pnpdm.likelihood_step(x, y, operator, sigma, rho, silent)
    torch.testing.assert_close(found.double().flatten(), mean, atol=1e-5, rtol=0)
    many_x = x.expand(4000, -1, -1, -1)
    keys = [StreamKey(0, "z", repetition) for repetition in range(4000)]
    drawn = pnpdm.likelihood_step(many_x, many_y(y), operator, sigma, rho, KeyedNoise(keys))
    # The variance of 4,000 draws strays by 2.2 percent, the worst of 192 by four times that.
    ratio = drawn.double().flatten(1).var(0) / covariance.diagonal()
    np.testing.assert_allclose(ratio.numpy(), 1, atol=0.1)


def many_y(y: Tensor) -> Tensor:
    return y.expand(4000, -1, -1, -1)


@pytest.mark.parametrize("mode", ["sde", "ode"])
def test_the_prior_step_turns_noise_into_images(mode: Any) -> None:
    """From far above the images' deviation it samples the prior, whatever z was."""
    settings = pnpdm.Settings(steps=300, mode=mode)
    first = max(s for s in map(pnpdm.level, pnpdm.all_times(300)) if s < 60)
    z = first * noise(REPETITIONS).normal_like(torch.zeros(REPETITIONS, 3, SIZE, SIZE))
    drawn = pnpdm.prior_step(EXACT, z, 60.0, settings, noise(REPETITIONS)).double().flatten(1)
    variance = GAUSSIAN.covariance.diagonal().mean()
    assert float(drawn.var(0).mean() / variance) == pytest.approx(1, abs=0.1)
    assert (drawn.mean(0) - GAUSSIAN.mean).square().mean().sqrt() < 0.15 * variance.sqrt()


def test_levels_and_times() -> None:
    times = pnpdm.all_times(5)
    assert times[0] == 1
    assert times[-1] == pytest.approx(1e-3)
    assert np.ptp(np.diff(times)) < 1e-12
    assert pnpdm.level(1) == pytest.approx(math.sqrt(math.exp(10.05) - 1))
    step = 1e-6
    slope = (pnpdm.level(0.4 + step) - pnpdm.level(0.4 - step)) / (2 * step)
    assert pnpdm.level_slope(0.4) == pytest.approx(slope, rel=1e-6)
    assert pnpdm.signal(0.4) ** 2 == pytest.approx(math.exp(-(0.5 * 19.9 * 0.16 + 0.04)))


def test_rho_falls_to_its_least_value() -> None:
    settings = pnpdm.Settings(iterations=5, rho=2.0, rho_decay=0.5, rho_min=0.3)
    assert list(pnpdm.couplings(settings)) == [2.0, 1.0, 0.5, 0.3, 0.3]


def test_a_level_below_all_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"rho_min is 0.01, but must be above 0.0105"):
        pnpdm.Settings(rho_min=0.01)


def test_a_noisy_test_set_sets_the_noise() -> None:
    y = bicubic(SIZE, SCALE)(GAUSSIAN.draw(1, seed=3))
    settings = pnpdm.Settings(iterations=2, steps=10)

    def restored(sigma: float, **changes: Any) -> Tensor:
        problem = Problem(y, SCALE, noise(1), Models(prior=EXACT), sigma=sigma)
        return pnpdm.restore(problem, replace(settings, **changes))

    assert torch.equal(restored(0.2), restored(0.0, sigma_y=0.2))
    assert not torch.equal(restored(0.2), restored(0.0))
