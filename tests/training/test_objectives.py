"""What is minimised: losses that vanish for the truth and weigh errors as their papers say."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.diffusion.schedule import Schedule, gather, q_sample
from bench.dpi.masks import fixed_mask
from bench.training.objectives import (
    corrector_loss,
    draw_timesteps,
    even_weight,
    prior_loss,
    released_corrector_loss,
    variance_weight,
    velocity_weight,
)

SCHEDULE = Schedule.linear()
T = torch.tensor([1, 10, 200, 999])
K = 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


X0 = randn(4, 3, 8, 8, seed=1).clamp(-1, 1)
NOISE = randn(4, 3, 8, 8, seed=2)


def predicting(eps: Tensor, variance: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A network that gives this noise, and v = `variance` in [-1, 1] for the variance."""
    return lambda x, t: torch.cat([eps, torch.full_like(eps, variance)], dim=1)


def test_a_perfect_prior_with_the_posteriors_variance_has_no_loss() -> None:
    # v = -1 is the posterior's own variance, the smaller bound of Eq. 5. What remains is the
    # rounding of float32 in x0_hat, which 1 / sqrt(alpha_bar) magnifies, here less than 1e-4.
    loss = prior_loss(predicting(NOISE, -1.0), SCHEDULE, X0, T, NOISE).objective
    torch.testing.assert_close(loss, torch.zeros(4), atol=1e-4, rtol=0)


def test_a_perfect_prior_is_charged_for_its_variance_alone() -> None:
    # KL of two Gaussians of equal mean, variances low and high: (r - 1 - ln r) / 2 nats with
    # r = low / high; in bits per dimension, weighted per step.
    loss = prior_loss(predicting(NOISE, 1.0), SCHEDULE, X0, T, NOISE).objective
    ratio = SCHEDULE.posterior_variance[T] / SCHEDULE.betas[T]
    expected = variance_weight(SCHEDULE)[T] * 0.5 * (ratio - 1 - np.log(ratio)) / math.log(2)
    np.testing.assert_allclose(loss.numpy(), expected, atol=1e-4)
    assert expected[1] > 0.001  # or nothing were tested


def test_the_error_of_the_noise_is_its_mean_square() -> None:
    wrong = NOISE + torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None, None]
    losses = prior_loss(lambda x, t: torch.cat([wrong, -torch.ones_like(wrong)], 1), *_at(T))
    expected = torch.tensor([0.01, 0.04, 0.09, 0.16])
    torch.testing.assert_close(losses.objective - _variational(wrong), expected)
    torch.testing.assert_close(losses.error, expected)
    assert torch.equal(losses.t, T)


def _at(t: Tensor) -> tuple[Schedule, Tensor, Tensor, Tensor]:
    return SCHEDULE, X0, t, NOISE


def _variational(eps: Tensor) -> Tensor:
    """Half the squared distance of the means over the posterior's variance, in bits."""
    x_t = q_sample(SCHEDULE, X0, T, NOISE)
    alpha_bar = gather(SCHEDULE.alpha_bar, T)
    x0_hat = ((x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()).clamp(-1, 1)
    distance = gather(SCHEDULE.posterior_x0_weight, T) * (x0_hat - X0)
    nats = 0.5 * distance.square() / gather(SCHEDULE.posterior_variance, T)
    weight = torch.from_numpy(variance_weight(SCHEDULE)[T]).float()
    return weight * nats.mean(dim=(1, 2, 3)) / math.log(2)


def test_the_variance_is_weighed_evenly() -> None:
    # Told v = 1 where v = -1 is right, the weighted term is about the same at every step whose
    # range of variances float32 can tell.
    t = torch.tensor([1, 10, 50, 200])
    charge = prior_loss(predicting(NOISE, 1.0), SCHEDULE, X0, t, NOISE).objective
    assert charge.max() < 2 * charge.min()


def test_a_weight_multiplies_the_error_of_the_noise_alone() -> None:
    wrong = NOISE + 1.0
    weight = np.linspace(0.5, 3.0, len(SCHEDULE))
    plain = prior_loss(predicting(wrong, -1.0), *_at(T))
    weighted = prior_loss(predicting(wrong, -1.0), *_at(T), weight=weight)
    more = torch.from_numpy(weight[T] - 1).float()  # the error is 1
    torch.testing.assert_close(weighted.objective - plain.objective, more, atol=1e-4, rtol=1e-4)
    assert torch.equal(weighted.error, plain.error)


def test_the_even_weight_lifts_the_noisy_end() -> None:
    snr = SCHEDULE.alpha_bar / (1 - SCHEDULE.alpha_bar)
    # Times an error that falls as SNR^(2/3), the deviation that is left, it is one everywhere.
    np.testing.assert_allclose(even_weight(SCHEDULE) * np.sqrt(snr ** (2 / 3)), 1.0)
    np.testing.assert_allclose(even_weight(SCHEDULE, power=0.0), 1.0)


def test_the_velocity_weight_is_one_where_signal_equals_noise_and_falls_to_both_ends() -> None:
    log_snr = np.log(SCHEDULE.alpha_bar / (1 - SCHEDULE.alpha_bar))
    np.testing.assert_allclose(velocity_weight(SCHEDULE), 1 / np.cosh(log_snr / 2))


def test_the_variational_term_trains_the_variance_alone() -> None:
    eps = NOISE.clone().requires_grad_(True)  # perfect, so that the simple term has no gradient
    variance = torch.zeros_like(NOISE).requires_grad_(True)
    loss = prior_loss(lambda x, t: torch.cat([eps, variance], 1), *_at(T)).objective.sum()
    by_eps, by_variance = torch.autograd.grad(loss, [eps, variance])
    assert by_eps.abs().max() == 0
    assert by_variance.abs().min() > 0


def test_the_last_step_is_the_likelihood_of_8_bit_values() -> None:
    """At t = 0 a narrow Gaussian around the truth is certain of it, and one elsewhere is not."""
    levels = torch.arange(256).float() / 127.5 - 1
    x0 = levels[:, None, None, None].expand(256, 3, 2, 2)
    noise, t = randn(256, 3, 2, 2), torch.zeros(256, dtype=torch.long)
    exact = prior_loss(predicting(noise, -1.0), SCHEDULE, x0, t, noise).objective
    # The deviation is 0.0074, the half of a bin 1 / 255: erf(0.0039 / 0.0074 / sqrt 2) = 0.40,
    # which is 1.31 bits. The two outermost bins reach to infinity and hold more: 0.70, 0.51 bits.
    deviation = math.exp(0.5 * SCHEDULE.posterior_log_variance[0])
    inner = -math.log2(math.erf(1 / 255 / deviation / math.sqrt(2)))
    outer = -math.log2((1 + math.erf(1 / 255 / deviation / math.sqrt(2))) / 2)
    expected = torch.full((256,), inner)
    expected[[0, -1]] = outer
    bits = exact / variance_weight(SCHEDULE)[0]
    torch.testing.assert_close(bits, expected, atol=2e-3, rtol=0)


def test_timesteps_cover_the_schedule_and_follow_the_generator() -> None:
    drawn = draw_timesteps(20_000, SCHEDULE, generator())
    assert (int(drawn.min()), int(drawn.max())) == (0, 999)
    # The mean of 20,000 uniform draws lies within five standard errors, 2.04 each.
    assert drawn.float().mean().item() == pytest.approx(499.5, abs=10.2)
    assert torch.equal(drawn, draw_timesteps(20_000, SCHEDULE, generator()))


BASE = randn(4, 3, 4, 4, seed=3).clamp(-1, 1)


def oracle(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
    """The ground truth, whatever is shown."""
    return X0


def test_a_corrector_that_knows_the_truth_has_no_loss() -> None:
    assert corrector_loss(oracle, SCHEDULE, X0, BASE, T, generator()).abs().max() == 0
    released = released_corrector_loss(oracle, SCHEDULE, X0, BASE, T, NOISE, NOISE)
    assert released.abs().max() == 0


def test_what_lies_off_the_grid_is_not_judged() -> None:
    off = 1 - fixed_mask(8, K)
    spoilt: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda y, t, y_T: X0 + 9 * off  # noqa: E731
    assert corrector_loss(spoilt, SCHEDULE, X0, BASE, T, generator()).abs().max() == 0
    assert released_corrector_loss(spoilt, SCHEDULE, X0, BASE, T, NOISE, NOISE).abs().max() == 0


def test_an_error_on_the_grid_counts_whole_or_by_the_grids_share() -> None:
    def off_by_a_half(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        return X0 + 0.5

    ours = corrector_loss(off_by_a_half, SCHEDULE, X0, BASE, T, generator())
    torch.testing.assert_close(ours, torch.full((4,), 0.25))
    # The released code's mean runs over the zeros off the grid as well.
    theirs = released_corrector_loss(off_by_a_half, SCHEDULE, X0, BASE, T, NOISE, NOISE)
    torch.testing.assert_close(theirs, torch.full((4,), 0.25 / K**2))


def test_correctors_see_the_condition_on_its_grid_and_at_its_noise() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def watching(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        seen.append((y, y_T))
        return torch.zeros_like(y)

    late = torch.tensor([0, 0, 0, 0])  # nearly clean, and the posterior adds no noise to index 0
    released_corrector_loss(watching, SCHEDULE, X0, BASE, late, NOISE, NOISE)
    ((y, y_T),) = seen
    m_f = fixed_mask(8, K)
    assert torch.equal(y_T[..., ::K, ::K], BASE)
    assert (y_T * (1 - m_f)).abs().max() == 0
    # At index 0 the posterior's mean is the clean image itself.
    torch.testing.assert_close(y, y_T, atol=1e-5, rtol=0)
    seen.clear()
    corrector_loss(watching, SCHEDULE, X0, BASE, late, generator())
    first, _ = seen
    torch.testing.assert_close(first[0], y_T, atol=1e-5, rtol=0)  # for its own answer: y_T
    assert torch.equal(first[1], y_T)


@pytest.mark.parametrize("index", [0, 2, 7, 9])
def test_the_truth_is_shown_less_and_its_own_answer_more_as_the_noise_falls(index: int) -> None:
    short = Schedule.linear(
        10, last=1e-3
    )  # so little noise that what is shown tells where it came from
    x0, base = torch.ones(4000, 3, 2, 2), torch.zeros(4000, 3, 1, 1)
    t = torch.full((4000,), index)
    shown: list[Tensor] = []

    def corrector(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        shown.append(y[:, :, 0, 0].mean(dim=1))
        return torch.full_like(y, -1.0)

    loss = corrector_loss(corrector, short, x0, base, t, generator())
    own, second = shown
    assert own.abs().max() < 0.5  # y_T, which is zero
    assert (second.abs() - 1).abs().max() < 0.5  # the truth is 1, its own answer -1
    # Within five standard errors of 4000 draws with probability omega; certain where that is 1.
    omega = (index + 1) / 10
    margin = 5 * math.sqrt(omega * (1 - omega) / 4000)
    assert (second > 0).float().mean().item() == pytest.approx(omega, abs=margin)
    torch.testing.assert_close(loss, torch.full((4000,), 4.0))  # either way the truth is the aim


def test_no_gradient_flows_through_the_correctors_own_answer() -> None:
    scale = torch.ones((), requires_grad=True)
    flows: list[bool] = []

    def corrector(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        flows.append(y.requires_grad)
        return y * scale

    loss = corrector_loss(corrector, SCHEDULE, X0, BASE, T, generator()).sum()
    assert flows == [False, False]
    assert torch.autograd.grad(loss, scale)[0] != 0


def test_a_prior_says_what_noise_a_corrector_is_shown() -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    shown: list[Tensor] = []

    def prior(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return torch.zeros(len(x), 6, *x.shape[2:])  # it takes x_t for clean

    def corrector(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        shown.append(y)
        return torch.zeros_like(y)

    early = torch.full((4,), 999)
    corrector_loss(corrector, SCHEDULE, X0, BASE, early, generator(), prior)
    assert [tuple(t) for _, t in seen] == [(999,) * 4] * 2
    noisy, _ = seen[0]  # x_t of the ground truth, nearly all noise at the last step
    assert noisy.std().item() == pytest.approx(1, abs=0.1)
    # Without noise from the prior only the posterior's is left, whose deviation is sqrt(beta):
    # at t = 999 sqrt(0.02) = 0.14, on a quarter of the pixels.
    assert shown[0].std().item() == pytest.approx(0.5 * 0.02**0.5, rel=0.1)
