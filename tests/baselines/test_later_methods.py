"""PiGDM, RED-diff, DiffPIR and DAPS: the exact Gaussian oracle, batch independence, formulas."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines import daps, diffpir, pigdm, reddiff
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.diffusion.prior import Prior, noised
from bench.diffusion.schedule import Schedule
from tests.oracle import GAUSSIAN, PRIOR_MEAN, REPETITIONS, SCALE, SIZE, explained, many, noise

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)


def measurement(operator: SeparableOperator) -> tuple[Tensor, Tensor]:
    """Return a measurement [1, 3, h, h] and the mean of its posterior."""
    y = operator(GAUSSIAN.draw(1, seed=5))
    return y, GAUSSIAN.posterior_mean(operator, y)


@both_operators
@pytest.mark.parametrize("awd", [True, False])
def test_pigdm_meets_the_posterior(operator: SeparableOperator, awd: bool) -> None:
    y, posterior = measurement(operator)

    def run(weight: float) -> Tensor:
        chosen = pigdm.Settings(eta=1.0, weight=weight, awd=awd)
        prior = GAUSSIAN.prior().respaced(100, "strided")
        return pigdm.sample(prior, many(y), operator, chosen, noise(REPETITIONS))[0]

    images = run(1.0)
    # A guided sampler is not exact: its mean explains most of what the measurement tells.
    assert explained(images, posterior) > 0.8
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"
    assert explained(run(0.0), posterior) < 0.2, "without guidance only the start knows y"


class StartThen:
    """The first draw of one seed, all others of another."""

    def __init__(self, others: int) -> None:
        self.generator, self.others = torch.Generator().manual_seed(0), others

    def normal_like(self, x: Tensor) -> Tensor:
        drawn = torch.randn(x.shape, generator=self.generator)
        self.generator = torch.Generator().manual_seed(self.others)
        self.others += 1
        return drawn

    def bernoulli(self, probability: Tensor) -> Tensor:
        raise AssertionError("it has no mask")


def test_pigdm_without_eta_is_deterministic_after_its_start() -> None:
    operator = bicubic(SIZE, SCALE)
    y, _ = measurement(operator)
    prior = GAUSSIAN.prior().respaced(10, "strided")

    def run(eta: float, others: int) -> Tensor:
        return pigdm.sample(prior, y, operator, pigdm.Settings(eta=eta), StartThen(others))[0]

    assert torch.equal(run(0.0, 100), run(0.0, 200))
    assert not torch.allclose(run(0.5, 100), run(0.5, 200), atol=1e-2)


@both_operators
def test_reddiff_finds_the_mode_of_a_gaussian(operator: SeparableOperator) -> None:
    """For a Gaussian the regularised optimum is close to the posterior mean, which is its mode."""
    y, posterior = measurement(operator)

    def run(weight: float) -> Tensor:
        chosen = reddiff.Settings(steps=500, learning_rate=0.02, weight=weight)
        prior = GAUSSIAN.prior().respaced(500, "strided")
        return reddiff.optimise(prior, y.expand(8, -1, -1, -1), operator, chosen, noise(8))

    images = run(0.25)
    assert (operator(images) - y).abs().max() < 0.03
    assert explained(images, posterior) > 0.7
    # Without the regulariser it stays at the pseudo-inverse.
    torch.testing.assert_close(run(0.0)[:1], operator.pseudo_inverse(y), rtol=0, atol=0.02 + 1e-3)


def test_reddiff_is_adam_on_the_published_loss() -> None:
    """Compare with autograd on Eq. 9's surrogate loss and torch's Adam."""
    operator, steps = bicubic(SIZE, SCALE), 6
    y, _ = measurement(operator)
    prior = GAUSSIAN.prior().respaced(steps, "strided")
    found = reddiff.optimise(prior, y, operator, reddiff.Settings(steps), noise(1))

    draws = noise(1)
    mu = operator.pseudo_inverse(y).requires_grad_()
    adam = torch.optim.Adam([mu], 0.1, betas=(0.9, 0.99))
    for index in reversed(range(steps)):
        drawn = draws.normal_like(mu.detach())
        eps = prior.predict(noised(prior.schedule, mu.detach(), drawn, index), index, False).eps
        ratio = math.sqrt(1 / float(prior.schedule.alpha_bar[index]) - 1)
        loss = 0.25 * ratio * ((eps - drawn) * mu).mean() + (y - operator(mu)).square().mean() / 2
        mu.grad = torch.autograd.grad(loss, mu)[0]
        adam.step()
    torch.testing.assert_close(found, mu.detach(), rtol=0, atol=1e-5)  # float32, 6 steps of 0.1


def test_reddiff_does_not_depend_on_batch_mates() -> None:
    operator = bicubic(SIZE, SCALE)
    y = operator(GAUSSIAN.draw(4, seed=5))
    prior = GAUSSIAN.prior().respaced(20, "strided")
    keys = [StreamKey(0, str(i)) for i in range(4)]
    together = reddiff.optimise(prior, y, operator, reddiff.Settings(20), KeyedNoise(keys))
    alone = reddiff.optimise(prior, y[2:3], operator, reddiff.Settings(20), KeyedNoise(keys[2:3]))
    # Adam amplifies rounding where a gradient is near its epsilon; 20 steps of 0.1.
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "ratio", "weight"),
    [
        ("linear", 4.0, 4.0),
        ("sqrt", 4.0, 2.0),
        ("square", 4.0, 16.0),
        ("log", 4.0, math.log(5)),
        ("trunc_linear", 4.0, 1.0),
        ("trunc_linear", 0.5, 0.5),
        ("power2over3", 8.0, 4.0),
        ("const", 4.0, 1.0),
    ],
)
def test_weightings_of_reddiff(name: str, ratio: float, weight: float) -> None:
    assert reddiff.WEIGHTINGS[name](ratio) == pytest.approx(weight)


@pytest.mark.parametrize("data", ["ibp", "gradient"])
def test_diffpir_meets_the_posterior(data: str) -> None:
    operator = bicubic(SIZE, SCALE)
    y, posterior = measurement(operator)

    def run(**changes: float) -> Tensor:
        # The assumed noise decides how far a proximal step goes.
        settings = {"gamma": 1.0, "weight": 1.0, "sigma_y": 0.05, **changes}
        chosen = diffpir.Settings(data=data, **settings)  # type: ignore[arg-type]
        prior, start = GAUSSIAN.prior(), PRIOR_MEAN.expand(REPETITIONS, -1, -1, -1)
        return diffpir.sample(prior, many(y), start, operator, chosen, noise(REPETITIONS))

    images = run()
    if data == "ibp":  # nearest spreading is no adjoint of bicubic: consistent, but not exact
        assert explained(images, posterior) > 0.7
        assert explained(run(gamma=0.0), posterior) < 0.2
    else:
        assert explained(images, posterior) > 0.5
        assert explained(run(weight=1e9), posterior) < 0.2
    assert images.var(0).mean() > 1e-3


def test_timesteps_of_diffpir() -> None:
    quadratic = diffpir.descending_timesteps(10, "quad")
    assert quadratic.tolist() == [999, 666, 528, 422, 333, 254, 183, 118, 57, 0]
    uniform = diffpir.descending_timesteps(10, "uniform")
    assert uniform.tolist() == [*range(999, -1, -100), 0]
    for steps in (2, 7, 100, 1000):
        for spacing in ("quad", "uniform"):
            chosen = diffpir.descending_timesteps(steps, spacing)
            assert (np.diff(chosen) < 0).all()
            assert chosen[0] == 999
            assert chosen[-1] == 0


@pytest.mark.parametrize("mcmc", ["langevin", "hmc"])
def test_daps_meets_the_measurement_and_the_posterior(mcmc: str) -> None:
    operator = bicubic(SIZE, SCALE)
    y, posterior = measurement(operator)

    def run(tau: float) -> Tensor:
        # Langevin dynamics needs more steps than Hamiltonian Monte Carlo to get as far.
        steps = 150 if mcmc == "langevin" else 30
        chosen = daps.Settings(40, 5, steps, tau=tau, mcmc=mcmc)  # type: ignore[arg-type]
        return daps.sample(GAUSSIAN.prior(), many(y), operator, chosen, noise(REPETITIONS))

    images = run(0.01)
    # 0.006 with Langevin dynamics: few steps at a small rate stay short of the measurement.
    assert (operator(images).mean(0, keepdim=True) - y).abs().max() < 0.03
    assert explained(images, posterior) > 0.8
    assert images.var(0).mean() > 5e-3
    assert explained(run(100.0), posterior) < 0.2, "without the measurement the prior goes its way"


class Prescribed:
    """Noise that was drawn before, in order."""

    def __init__(self, *draws: Tensor) -> None:
        self.draws = list(draws)

    def normal_like(self, x: Tensor) -> Tensor:
        return self.draws.pop(0)

    def bernoulli(self, probability: Tensor) -> Tensor:
        raise AssertionError("it has no mask")


@pytest.mark.parametrize("mcmc", ["langevin", "hmc"])
def test_daps_follows_the_gradient_of_its_log_posterior(mcmc: str) -> None:
    """Two steps by hand, the score by autograd of log p(y | x) + log N(x; x0_hat, sigma^2)."""
    operator, sigma, rate = bicubic(SIZE, SCALE), 0.7, 2e-4
    settings = daps.Settings(mcmc_steps=2, tau=0.05, mcmc=mcmc, momentum=0.8)  # type: ignore[arg-type]
    x0_hat, y = GAUSSIAN.draw(1, 1), operator(GAUSSIAN.draw(1, 2))
    draws = [GAUSSIAN.draw(1, seed) for seed in (3, 4, 5)]

    def score(at: Tensor) -> Tensor:
        x = at.clone().requires_grad_()
        # The released likelihood is exp(-|y - A x|^2 / tau^2), without the 2 of a Gaussian.
        misfit = (y - operator(x)).square().sum() / settings.tau**2
        distance = (x - x0_hat).square().sum() / (2 * sigma**2)
        return -torch.autograd.grad(misfit + distance, x)[0]

    x = x0_hat
    if mcmc == "langevin":
        for drawn in draws[:2]:
            x = x + rate * score(x) + math.sqrt(2 * rate) * drawn
    else:
        velocity = draws[0]
        for drawn in draws[1:]:
            velocity = 0.8 * velocity + math.sqrt(rate) * score(x) + math.sqrt(0.4) * drawn
            x = x + math.sqrt(rate) * velocity
    noise_ = Prescribed(*draws)
    found = daps.posterior_sample(x0_hat, y, operator, sigma, rate, settings, noise_)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)  # float32, values near 1


class Nothing(Prior):
    """A prior that takes every image for noise."""

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        return torch.zeros_like(x)


def test_the_ode_of_daps_ends_at_its_last_level() -> None:
    prior, x = Nothing(lambda x, t: x, Schedule.linear()), torch.ones(1, 3, 8, 8)
    # dx/dsigma = x / sigma: Euler is exact, and the noise shrinks with its level.
    for steps in (1, 4):
        found = daps.solve_ode(prior, x, 2.0, steps)
        torch.testing.assert_close(found, x * 0.01 / 2.0, rtol=1e-5, atol=0)


def test_daps_anneals_its_rate_and_returns_a_clean_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, float, Tensor]] = []

    def recorded(
        x0_hat: Tensor, y: Tensor, operator: object, sigma: float, rate: float, *_: object
    ) -> Tensor:
        sample = torch.full_like(x0_hat, float(len(calls)))
        calls.append((sigma, rate, sample))
        return sample

    monkeypatch.setattr(daps, "posterior_sample", recorded)
    operator = bicubic(SIZE, SCALE)
    y, _ = measurement(operator)
    found = daps.sample(GAUSSIAN.prior(), y, operator, daps.Settings(4, 1), noise(1))
    sigmas, rates, samples = zip(*calls, strict=True)
    assert sigmas == tuple(daps.edm_levels(100.0, 0.1, 4)[:4])
    expected = [1e-4 * (1 - 0.99 * i / 5) for i in range(4)]  # the released code divides by N + 1
    assert rates == pytest.approx(expected)
    assert torch.equal(found, samples[-1])


def test_levels_of_daps_are_edms() -> None:
    levels = daps.edm_levels(100.0, 0.1, 4)
    assert levels[0] == pytest.approx(100.0)
    assert levels[-1] == pytest.approx(0.1)
    roots = np.array(levels) ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0, 20.0])
def test_the_prior_denoises_at_any_noise_level(sigma: float) -> None:
    """For a Gaussian, D(x; sigma) = mu + C (C + sigma^2)^-1 (x - mu)."""
    # The oracle knows abar at integer timesteps; use the continuous one of the SDE.
    mean, covariance = GAUSSIAN.mean, GAUSSIAN.covariance

    def network(x: Tensor, t: Tensor) -> Tensor:
        u = float(t[0]) / 999
        alpha_bar = math.exp(-(9.95 * u**2 + 0.1 * u))
        noisy = alpha_bar * covariance + (1 - alpha_bar) * torch.eye(len(mean))
        offset = x.double().flatten(1) - alpha_bar**0.5 * mean
        eps = (1 - alpha_bar) ** 0.5 * torch.linalg.solve(noisy, offset.T).T
        return eps.reshape(x.shape).to(x)

    prior = Prior(network, Schedule.linear())
    x = GAUSSIAN.draw(3, seed=1) + sigma * torch.randn(3, 3, SIZE, SIZE)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(mean)))
    exact = mean + (x.double().flatten(1) - mean) @ gain.T
    found = prior.denoise(x, sigma).double().flatten(1)
    # float32 timesteps place u within 1e-7 of its value, and x is up to sigma large.
    torch.testing.assert_close(found, exact, rtol=0, atol=2e-5 * (1 + sigma))
