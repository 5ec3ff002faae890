"""DDNM's other paths: noisy measurements (DDNM+), and the released quick start."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines import ddnm
from bench.core.errors import WrongUsage
from bench.diffusion.operators import SeparableOperator, average_pooling, bicubic
from bench.diffusion.prior import Prior
from tests.oracle import GAUSSIAN, REPETITIONS, SCALE, SIZE, explained, many, noise

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)
SIGMA_Y = 0.1


def run(operator: SeparableOperator, y: Tensor, count: int = REPETITIONS, **changed: Any) -> Tensor:
    prior = GAUSSIAN.prior().respaced(20, "strided")
    return ddnm.sample(prior, y, operator, ddnm.Settings(**changed), noise(count))[0]


def whole_matrix(operator: SeparableOperator) -> Tensor:
    return torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix))


def dense_ddnm_plus(
    prior: Prior, y: Tensor, operator: SeparableOperator, chosen: ddnm.Settings
) -> Tensor:
    """DDNM+ for any matrix A [m, n], one coefficient at a time as the paper prints it."""
    a = whole_matrix(operator).double()
    u, s, vt = torch.linalg.svd(a)
    m, n = a.shape
    alpha_bar, eta = prior.schedule.alpha_bar_prev, chosen.eta
    draws, shape = noise(len(y)), (len(y), 3, SIZE, SIZE)
    x = draws.normal_like(torch.zeros(shape)).flatten(1).double()
    for index in reversed(range(len(prior.schedule))):
        prediction = prior.predict(x.reshape(shape).float(), index, clip=False)
        x0 = prediction.x0_hat.flatten(1).double() @ vt.T
        eps = prediction.eps.flatten(1).double() @ vt.T
        z = draws.normal_like(torch.zeros(shape)).flatten(1).double() @ vt.T
        y_bar = y.flatten(1).double() @ u / s
        a_t, sigma_t = math.sqrt(alpha_bar[index]), math.sqrt(1 - alpha_bar[index])
        following = torch.empty_like(x0)
        for i in range(n):
            if i >= m:  # not measured: DDIM's step
                step = eta * z[:, i] + math.sqrt(1 - eta**2) * eps[:, i]
                following[:, i] = a_t * x0[:, i] + sigma_t * step
            elif sigma_t >= a_t * chosen.sigma_y / s[i]:
                left = math.sqrt(sigma_t**2 - (a_t * chosen.sigma_y / float(s[i])) ** 2)
                following[:, i] = a_t * y_bar[:, i] + left * z[:, i]
            else:
                share = float(s[i]) * sigma_t * math.sqrt(1 - eta**2) / (a_t * chosen.sigma_y)
                corrected = x0[:, i] - share * (x0[:, i] - y_bar[:, i])
                following[:, i] = a_t * corrected + sigma_t * eta * z[:, i]
        x = following @ vt
    return x.reshape(shape).float()


@both_operators
def test_ddnm_plus_in_the_papers_form(operator: SeparableOperator) -> None:
    prior = GAUSSIAN.prior().respaced(10, "strided")
    y = operator(GAUSSIAN.draw(2, seed=3))
    chosen = ddnm.Settings(sigma_y=0.2)
    deviations = 0.2 / operator.svd().singular.numpy()
    levels = np.sqrt(1 / prior.schedule.alpha_bar_prev - 1)
    assert levels[1] < deviations.min() <= deviations.max() < levels[-1], "both cases occur"
    ours, _ = ddnm.sample(prior, y, operator, chosen, noise(2))
    dense = dense_ddnm_plus(prior, y, operator, chosen)
    torch.testing.assert_close(ours, dense, atol=1e-4, rtol=0)  # float32 against float64


@pytest.mark.parametrize("form", ["svd", "simplified"])
def test_a_noisy_measurement_is_followed_less(form: Literal["svd", "simplified"]) -> None:
    operator = average_pooling(SIZE, SCALE)
    clean = operator(GAUSSIAN.draw(1, seed=5))
    y = clean + SIGMA_Y * noise(1).normal_like(clean)
    told = run(operator, many(y), form=form, sigma_y=SIGMA_Y)
    untold = run(operator, many(y), form=form)
    assert (operator(untold) - y).abs().max() < 1e-4

    def error(images: Tensor) -> float:
        """Of the mean of many, in the measured part, where the truth is known."""
        return float((operator(images.mean(0, keepdim=True)) - clean).square().mean().sqrt())

    assert error(told) < 0.9 * error(untold)
    posterior = GAUSSIAN.posterior_mean(operator, clean)
    assert explained(told, posterior) > explained(untold, posterior)


def test_the_quick_start_has_less_noise_than_the_schedule() -> None:
    operator = average_pooling(SIZE, SCALE)
    alpha_bar, shape = 0.36, (1, 3, SIZE, SIZE)
    x0, excess, eps, fresh = (torch.full(shape, value) for value in (0.5, 0.1, 2.0, 1.0))
    chosen = ddnm.Settings(form="simplified", eta=0.6)
    x0_hat, added = ddnm.simplified_step(x0, excess, eps, fresh, alpha_bar, operator, chosen)
    torch.testing.assert_close(x0_hat, torch.full(shape, 0.4))
    # sqrt(1 - 0.36) (0.6 * 1 + 0.8 * 2) = 1.76, times sqrt(1 - 0.36^2)
    torch.testing.assert_close(added, torch.full(shape, 1.76 * math.sqrt(1 - 0.36**2)))
    whole = ddnm.svd_step(x0, excess, eps, fresh, alpha_bar, operator, chosen)[1]
    torch.testing.assert_close(whole, torch.full(shape, 1.76))
    noisy = ddnm.Settings(form="simplified", eta=0.6, sigma_y=2.0)
    x0_hat, added = ddnm.simplified_step(x0, excess, eps, fresh, 0.8, operator, noisy)
    torch.testing.assert_close(x0_hat, torch.full(shape, 0.5 - 0.1 * 0.6 / 1.6))  # sigma / (a s)
    assert added.abs().max() == 0


def released_noise(
    fresh: Tensor, eps: Tensor, alpha_bar: float, sigma_y: float, eta: float
) -> Tensor:
    """The released Lambda_noise, square by square and without a vector operation."""
    area = SCALE**2
    level, share = math.sqrt(1 - alpha_bar), math.sqrt(alpha_bar) * sigma_y * SCALE
    _, _, v = torch.svd(torch.full((1, area), 1 / area), some=False)
    out = torch.zeros_like(fresh)
    for b, c, row, column in np.ndindex(len(fresh), 3, SIZE // SCALE, SIZE // SCALE):
        at = (
            b,
            c,
            slice(row * SCALE, (row + 1) * SCALE),
            slice(column * SCALE, (column + 1) * SCALE),
        )
        noise_of, eps_of = fresh[at].flatten(), eps[at].flatten()
        spectrum = torch.zeros(area)
        for k in range(area):
            if k == 0 and level < share:
                spectrum[k] = level * eta * noise_of[k]
            elif k == 0:
                spectrum[k] = math.sqrt(level**2 - share**2) * noise_of[k]
            else:
                spectrum[k] = level * (eta * noise_of[k] + math.sqrt(1 - eta**2) * eps_of[k])
        out[at] = (v @ spectrum).reshape(SCALE, SCALE)
    return out


@pytest.mark.parametrize("alpha_bar", [0.2, 0.98])
def test_the_released_noise_is_weighted_in_pixels(alpha_bar: float) -> None:
    operator = average_pooling(SIZE, SCALE)
    draw = noise(2)
    x0, excess, eps, fresh = (draw.normal_like(torch.empty(2, 3, SIZE, SIZE)) for _ in range(4))
    chosen = ddnm.Settings(form="released", operator="average", eta=0.6, sigma_y=0.1)
    x0_hat, added = ddnm.released_step(x0, excess, eps, fresh, alpha_bar, operator, chosen)
    expected = released_noise(fresh, eps, alpha_bar, 0.1, 0.6)
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=0)  # float32 in another order
    ours = ddnm.svd_step(x0, excess, eps, fresh, alpha_bar, operator, chosen)
    torch.testing.assert_close(x0_hat, ours[0])
    assert (added - ours[1]).abs().max() > 0.1, "the released code does differ"


def test_the_released_form_is_for_average_pooling() -> None:
    with pytest.raises(WrongUsage, match="set operator to 'average'"):
        ddnm.Settings(form="released")


def test_the_released_form_without_noise_is_the_main_path() -> None:
    operator = average_pooling(SIZE, SCALE)
    y = operator(GAUSSIAN.draw(2, seed=3))
    found = [
        ddnm.sample(
            GAUSSIAN.prior().respaced(5, "strided"),
            y,
            operator,
            ddnm.Settings(form=form, operator="average"),
            noise(2),
        )[0]
        for form in ("svd", "released")
    ]
    assert torch.equal(*found)
