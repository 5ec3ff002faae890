"""MPGD and SITCOM: their published steps, the measurement, the Gaussian oracle, batch mates."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines import mpgd, sitcom
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.methods import Models, Problem
from tests.oracle import GAUSSIAN, REPETITIONS, SCALE, SIZE, explained, many, noise

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)
BICUBIC = bicubic(SIZE, SCALE)


def prior(steps: int) -> Prior:
    return GAUSSIAN.prior().respaced(steps, "strided")


def posterior(operator: SeparableOperator, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return a measurement [1, 3, h, h], with noise, and the mean of the posterior without it."""
    clean = operator(GAUSSIAN.draw(1, seed=5))
    y = clean + sigma * noise(1).normal_like(clean)
    return y, GAUSSIAN.posterior_mean(operator, y)


@both_operators
def test_mpgd_meets_the_posterior(operator: SeparableOperator) -> None:
    y, mean = posterior(operator)

    def run(scale: float) -> Tensor:
        settings = mpgd.Settings(100, scale)
        return mpgd.sample(prior(100), many(y), operator, settings, noise(REPETITIONS))

    images = run(0.5)
    assert explained(images, mean) > 0.8
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"
    assert explained(run(0.0), mean) < 0.2, "without guidance nothing knows y"


def test_mpgd_is_the_published_step() -> None:
    """Compare with autograd on the norm, and DDIM written out (Song et al. 2020, Eq. 12)."""
    y, _ = posterior(BICUBIC)
    # An underestimate of the noise, so that x0_hat is clipped.
    chosen, scale, eta = replace(prior(6), network=lambda x, t: 0.9 * x), 0.7, 0.5
    found = mpgd.sample(chosen, y, BICUBIC, mpgd.Settings(6, scale, eta), noise(1))

    draws, bars = noise(1), [1.0, *chosen.schedule.alpha_bar.tolist()]
    x = draws.normal_like(found)
    for index in reversed(range(6)):
        bar, before = bars[index + 1], bars[index]
        eps_of_network = chosen.predict(x, index, clip=False).eps
        x0 = ((x - math.sqrt(1 - bar) * eps_of_network) / math.sqrt(bar)).clamp(-1, 1)
        eps = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
        x0 = x0.requires_grad_()
        (gradient,) = torch.autograd.grad((y - BICUBIC(x0)).norm(), x0)
        moved = x0.detach() - scale / math.sqrt(before) * gradient
        sigma = eta * math.sqrt((1 - before) / (1 - bar)) * math.sqrt(1 - bar / before)
        direction = math.sqrt(1 - before - sigma**2) * eps
        x = math.sqrt(before) * moved + direction + sigma * draws.normal_like(x)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)  # float32, 6 steps


def test_the_misfit_of_a_met_measurement_has_no_gradient() -> None:
    x0 = GAUSSIAN.draw(2, seed=3)
    y = BICUBIC(x0)
    y[1] += 0.5
    gradient = mpgd.gradient_of_misfit(x0, y, BICUBIC)
    assert not gradient[0].any()
    expected = BICUBIC.adjoint((BICUBIC(x0) - y) / (BICUBIC(x0) - y)[1].norm())[1]
    torch.testing.assert_close(gradient[1], expected, rtol=0, atol=1e-6)


@both_operators
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_sitcom_meets_the_measurement_as_far_as_its_noise(
    operator: SeparableOperator, sigma: float
) -> None:
    y, mean = posterior(operator, sigma)
    settings = sitcom.Settings(10, 60, learning_rate=0.01, sigma_y=sigma)
    images = sitcom.sample(prior(10), many(y), operator, settings, noise(REPETITIONS))
    deviation = (operator(images) - y).square().flatten(1).mean(1).sqrt()
    assert (deviation < sigma + 0.002).all()
    if sigma:  # it stops at the noise, which is not restored
        assert (deviation > 0.5 * sigma).all()
    else:
        assert explained(images, mean) > 0.8
    assert images.var(0).mean() > 1e-3


def test_sitcom_is_adam_on_the_networks_input() -> None:
    """Compare with autograd through the network and torch's Adam, one image, two steps."""
    y, _ = posterior(BICUBIC)
    chosen = prior(2)
    settings = sitcom.Settings(2, 4, learning_rate=0.05, tolerance=0.0)
    found = sitcom.sample(chosen, y, BICUBIC, settings, noise(1))

    draws = noise(1)
    x = draws.normal_like(found)
    for index in (1, 0):
        v = x.clone().requires_grad_()
        adam = torch.optim.Adam([v], 0.05)
        for _ in range(4):
            x0 = chosen.predict(v, index).x0_hat
            v.grad = torch.autograd.grad((BICUBIC(x0) - y).square().sum(), v)[0]
            adam.step()
        if index:
            bar = float(chosen.schedule.alpha_bar[0])
            x = math.sqrt(bar) * x0.detach() + math.sqrt(1 - bar) * draws.normal_like(x)
    torch.testing.assert_close(found, x0.detach(), rtol=0, atol=1e-4)  # float32 through 8 steps


def test_an_image_that_meets_its_measurement_stays() -> None:
    """Optimisation stops image by image, at the released threshold."""
    x = GAUSSIAN.draw(2, seed=8)
    met = prior(4).predict(x, 0).x0_hat
    y = BICUBIC(met)
    y[1] += 0.3
    x0_hat = sitcom.consistent(prior(4), x, y, BICUBIC, sitcom.Settings(4, 20), 0)
    assert torch.equal(x0_hat[0], met[0])
    assert (x0_hat[1] - met[1]).abs().max() > 0.01
    deviation = (BICUBIC(x0_hat) - y)[1].square().mean().sqrt()
    many_more = sitcom.consistent(prior(4), x, y, BICUBIC, sitcom.Settings(4, 400), 0)
    assert deviation > 0.001 > (BICUBIC(many_more) - y)[1].square().mean().sqrt()


@pytest.mark.parametrize("name", ["mpgd", "sitcom"])
def test_batch_mates_do_not_matter(name: str) -> None:
    y = BICUBIC(GAUSSIAN.draw(4, seed=5))
    keys = [StreamKey(0, str(i)) for i in range(4)]

    def run(y: Tensor, keys: list[StreamKey]) -> Tensor:
        draws = KeyedNoise(keys)
        if name == "mpgd":
            return mpgd.sample(prior(20), y, BICUBIC, mpgd.Settings(20, 0.5), draws)
        return sitcom.sample(prior(5), y, BICUBIC, sitcom.Settings(5, 5), draws)

    # Adam amplifies rounding where a gradient is near its epsilon.
    torch.testing.assert_close(run(y, keys)[2:3], run(y[2:3], keys[2:3]), rtol=0, atol=1e-4)


def test_a_noisy_test_set_sets_sitcoms_noise() -> None:
    y, _ = posterior(BICUBIC, 0.2)

    def restored(sigma: float, settings: sitcom.Settings) -> Tensor:
        problem = Problem(y, SCALE, noise(1), Models(prior=GAUSSIAN.prior()), sigma=sigma)
        return sitcom.restore(problem, settings)

    few = sitcom.Settings(4, 40)
    known = sitcom.Settings(4, 40, sigma_y=0.2)
    assert torch.equal(restored(0.2, few), restored(0.0, known))
    assert not torch.equal(restored(0.2, few), restored(0.0, few))
