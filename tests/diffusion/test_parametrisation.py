"""A prior that predicts v gives what a prior that predicts eps gives."""

import math
from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior, noised, sample
from bench.diffusion.schedule import Schedule
from bench.training.objectives import prior_loss
from tests.oracle import GAUSSIAN

SCHEDULE = Schedule.linear()


def velocity_prior() -> Prior:
    """Return the exact Gaussian prior with its output expressed as v."""
    exact = GAUSSIAN.prior()

    def network(x: Tensor, t: Tensor) -> Tensor:
        eps = exact.network(x, t).double()
        alpha_bar = float(SCHEDULE.alpha_bar[int(t[0])])
        # v = sqrt(abar) eps - sqrt(1 - abar) x0 with x_t = sqrt(abar) x0 + sqrt(1 - abar) eps.
        return ((eps - math.sqrt(1 - alpha_bar) * x.double()) / math.sqrt(alpha_bar)).to(x)

    return replace(exact, network=network, prediction="v")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(index=st.integers(0, 999), seed=st.integers(0, 2**31))
def test_both_parametrisations_agree_on_an_exact_gaussian(index: int, seed: int) -> None:
    x0 = GAUSSIAN.draw(2, seed)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    x = noised(SCHEDULE, x0, eps, index)
    one, other = GAUSSIAN.prior().predict(x, index), velocity_prior().predict(x, index)
    # float32: x0_hat from eps divides a rounding error of 1e-7 by sqrt(abar), at least 1 / 157.
    tolerance = 1e-6 / math.sqrt(SCHEDULE.alpha_bar[index])
    for name in ("eps", "x0_hat", "mean", "log_variance"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), rtol=0, atol=tolerance, msg=name
        )


def test_samples_of_both_agree() -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    keys = [StreamKey(0, str(i)) for i in range(2)]
    one, other = (
        sample(prior.respaced(20), x, KeyedNoise(keys))
        for prior in (GAUSSIAN.prior(), velocity_prior())
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)  # 20 steps of the error above


def test_the_velocity_loss_vanishes_at_the_true_velocity_alone() -> None:
    x0, t = GAUSSIAN.draw(4, 0), torch.tensor([0, 10, 500, 999])
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    alpha_bar = torch.from_numpy(SCHEDULE.alpha_bar).float()[t][:, None, None, None]
    v = alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0
    variance = torch.full_like(x0, -1.0)

    def losses(error: float) -> tuple[Tensor, Tensor]:
        def network(x: Tensor, t: Tensor) -> Tensor:
            return torch.cat([v + error, variance], 1)

        found = prior_loss(network, SCHEDULE, x0, t, eps, prediction="v")
        return found.objective, found.error

    exact, wrong = losses(0.0), losses(0.1)
    torch.testing.assert_close(exact[1], torch.zeros(4), rtol=0, atol=1e-9)
    # The error of eps is sqrt(abar) times that of v.
    torch.testing.assert_close(wrong[1], 0.01 * alpha_bar.flatten(), rtol=1e-3, atol=1e-9)
    # The variational term depends on the detached mean too: at least the squared error is added.
    assert (wrong[0] - exact[0] > 0.0099).all()


def test_reading_v_as_eps_is_noticed() -> None:
    prior, x = velocity_prior(), torch.ones(1, 3, 8, 8)
    right = prior.predict(x, 500).eps
    assert not torch.allclose(replace(prior, prediction="eps").predict(x, 500).eps, right, atol=0.1)
