"""MCG and FPS: their published steps, the measurement, the Gaussian oracle, batch mates."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines import fps, mcg
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.methods import Models, Problem
from tests.oracle import GAUSSIAN, REPETITIONS, SCALE, SIZE, explained, many, noise

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)
BICUBIC = bicubic(SIZE, SCALE)
PIXELS = SIZE**2


def prior(steps: int) -> Prior:
    return GAUSSIAN.prior().respaced(steps)


def clipping(steps: int) -> Prior:
    """Return a prior that underestimates the noise, so that x0_hat is clipped."""
    return replace(prior(steps), network=lambda x, t: 0.9 * x)


def posterior(operator: SeparableOperator, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return a measurement [1, 3, h, h], with noise, and the mean of the posterior without it."""
    clean = operator(GAUSSIAN.draw(1, seed=5))
    y = clean + sigma * noise(1).normal_like(clean)
    return y, GAUSSIAN.posterior_mean(operator, y)


def dense(function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a linear map of one channel as a matrix [n, SIZE^2], in float64."""
    basis = torch.eye(PIXELS).reshape(PIXELS, 1, SIZE, SIZE).expand(-1, 3, -1, -1)
    return function(basis)[:, 0].flatten(1).T.double()


@both_operators
def test_mcg_meets_the_posterior_and_the_measurement(operator: SeparableOperator) -> None:
    y, mean = posterior(operator)

    def run(scale: float) -> Tensor:
        return mcg.sample(
            prior(100), many(y), operator, mcg.Settings(100, scale), noise(REPETITIONS)
        )

    images = run(1.0)
    torch.testing.assert_close(operator(images), many(y), rtol=0, atol=1e-4)
    assert explained(images, mean) > 0.9
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"
    assert explained(images, mean) > explained(run(0.0), mean) + 0.03, "the gradient helps"


def test_mcg_is_the_published_step() -> None:
    """Compare with autograd through the network, and the projection written out."""
    y, _ = posterior(BICUBIC)
    chosen, scale = clipping(5), 0.7
    found = mcg.sample(chosen, y, BICUBIC, mcg.Settings(5, scale), noise(1))

    draws, bars = noise(1), [1.0, *chosen.schedule.alpha_bar.tolist()]
    x = draws.normal_like(found)
    for index in reversed(range(5)):
        bar, before = bars[index + 1], bars[index]
        x = x.clone().requires_grad_()
        eps = chosen.predict(x, index).eps
        x0 = ((x - math.sqrt(1 - bar) * eps) / math.sqrt(bar)).clamp(-1, 1)
        (gradient,) = torch.autograd.grad((y - BICUBIC(x0)).norm(), x)
        beta = 1 - bar / before
        mean = math.sqrt(before) * beta * x0 + math.sqrt(1 - beta) * (1 - before) * x
        prediction = chosen.predict(x.detach(), index)
        fresh = draws.normal_like(x)
        deviation = (0.5 * prediction.log_variance).exp() if index else 0.0
        x = (mean / (1 - bar)).detach() + deviation * fresh - scale * gradient
        known = math.sqrt(before) * BICUBIC.pseudo_inverse(y)
        known = known + math.sqrt(1 - before) * draws.normal_like(x)
        x = x + BICUBIC.pseudo_inverse(BICUBIC(known - x))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-4)  # float32, 5 steps


@both_operators
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_fps_meets_the_posterior(operator: SeparableOperator, sigma: float) -> None:
    y, mean = posterior(operator, sigma)
    settings = fps.Settings(100, sigma_y=sigma)
    images = fps.sample(prior(100), many(y), operator, settings, noise(REPETITIONS))
    deviation = (operator(images) - y).square().flatten(1).mean(1).sqrt()
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"
    if sigma:  # noise is not restored, and the result stays within what it explains
        assert 0.02 < deviation.mean() < 2 * sigma
    else:
        assert explained(images, mean) > 0.8
        assert deviation.max() < 0.05  # the last step is the prior's alone


@both_operators
@pytest.mark.parametrize("y_deviation", [0.0, 0.3])
def test_a_step_of_fps_is_the_conditional_gaussian(
    operator: SeparableOperator, y_deviation: float
) -> None:
    """Compare mean and covariance with the formulas for dense matrices."""
    mean, deviation = GAUSSIAN.draw(1, seed=2), 0.7
    y, _ = posterior(operator)
    matrix = dense(operator)
    gain = (
        deviation**2
        * matrix.T
        @ torch.linalg.inv(
            deviation**2 * matrix @ matrix.T + y_deviation**2 * torch.eye(len(matrix))
        )
    )
    found = fps.conditioned(mean, deviation, y, y_deviation, operator, torch.zeros_like(mean))
    missing = (y - operator(mean)).double().flatten(2)
    expected = mean.double() + (missing @ gain.T).reshape(mean.shape)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)

    nothing = torch.zeros_like(y)

    def noise_alone(fresh: Tensor) -> Tensor:
        zero, still = torch.zeros_like(fresh), nothing.expand(len(fresh), -1, -1, -1)
        return fps.conditioned(zero, deviation, still, y_deviation, operator, fresh)

    root = dense(noise_alone)
    covariance = deviation**2 * (torch.eye(PIXELS) - gain @ matrix)
    torch.testing.assert_close(root @ root.T, covariance, rtol=0, atol=1e-5)


def test_noisy_measurements_are_ddim_on_y() -> None:
    """Compare with the released recursion from y_t to y_{t-1}."""
    y, _ = posterior(BICUBIC)
    schedule, c = prior(6).schedule, 0.6
    ys = fps.noisy_measurements(schedule, y, BICUBIC, c, noise(1))
    draws, like = noise(1), BICUBIC.adjoint(y)
    bars = schedule.alpha_bar.tolist()
    before = math.sqrt(bars[-1]) * y + math.sqrt(1 - bars[-1]) * BICUBIC(draws.normal_like(like))
    torch.testing.assert_close(ys[-1], before, rtol=0, atol=1e-6)
    for index in reversed(range(5)):
        direction = (before - math.sqrt(bars[index + 1]) * y) / math.sqrt(1 - bars[index + 1])
        drawn = BICUBIC(draws.normal_like(like))
        before = math.sqrt(bars[index]) * y + math.sqrt(1 - bars[index]) * (
            math.sqrt(1 - c) * direction + math.sqrt(c) * drawn
        )
        torch.testing.assert_close(ys[index], before, rtol=0, atol=1e-5)


def test_fps_conditions_each_step_on_the_measurement_of_its_level() -> None:
    """Write the loop out; `conditioned` and `noisy_measurements` have tests of their own."""
    y, _ = posterior(BICUBIC)
    chosen, c, sigma = clipping(5), 0.6, 0.3
    found = fps.sample(chosen, y, BICUBIC, fps.Settings(5, c, sigma), noise(1))
    draws, bars = noise(1), chosen.schedule.alpha_bar.tolist()
    ys = fps.noisy_measurements(chosen.schedule, y, BICUBIC, c, draws)
    x, deviation = torch.zeros_like(found), 1.0
    for index in reversed(range(5)):
        level = sigma * math.sqrt(bars[index])
        fresh = draws.normal_like(found)
        x = fps.conditioned(x, deviation, ys[index], level, BICUBIC, fresh)
        eps = 0.9 * x
        x0 = ((x - math.sqrt(1 - bars[index]) * eps) / math.sqrt(bars[index])).clamp(-1, 1)
        if index:
            before = bars[index - 1]
            deviation = math.sqrt(c * (1 - before))
            x = math.sqrt(before) * x0 + math.sqrt((1 - c) * (1 - before)) * eps
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-5)  # float32, 5 steps


def test_a_noisy_test_set_sets_the_noise_of_fps() -> None:
    y, _ = posterior(BICUBIC, 0.2)

    def restored(sigma: float, settings: fps.Settings) -> Tensor:
        problem = Problem(y, SCALE, noise(1), Models(prior=GAUSSIAN.prior()), sigma=sigma)
        return fps.restore(problem, settings)

    few = fps.Settings(4)
    known = fps.Settings(4, sigma_y=0.2)
    assert torch.equal(restored(0.2, few), restored(0.0, known))
    assert not torch.equal(restored(0.2, few), restored(0.0, few))


@pytest.mark.parametrize("name", ["mcg", "fps"])
def test_batch_mates_do_not_matter(name: str) -> None:
    y = BICUBIC(GAUSSIAN.draw(4, seed=5))
    keys = [StreamKey(0, str(i)) for i in range(4)]

    def run(y: Tensor, keys: list[StreamKey]) -> Tensor:
        draws = KeyedNoise(keys)
        if name == "mcg":
            return mcg.sample(prior(20), y, BICUBIC, mcg.Settings(20, 0.5), draws)
        return fps.sample(prior(20), y, BICUBIC, fps.Settings(20), draws)

    torch.testing.assert_close(run(y, keys)[2:3], run(y[2:3], keys[2:3]), rtol=0, atol=1e-4)
