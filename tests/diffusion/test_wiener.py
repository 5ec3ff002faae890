"""The Wiener filter: what it says of its error is what it makes, and nothing linear is better."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.diffusion.schedule import Schedule
from bench.diffusion.wiener import WienerFilter

SIZE = 8


def coloured(count: int, seed: int) -> Tensor:
    """Stationary images [count, 3, SIZE, SIZE]: blurred noise, its colours mixed, with a mean."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, SIZE, SIZE, generator=generator)
    blurred = noise + noise.roll(1, -1) + noise.roll(1, -2)
    mixing = torch.tensor([[1.0, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 0.6]])
    return torch.einsum("cd,ndhw->nchw", mixing, blurred) * 0.3 + 0.2


FILTER = WienerFilter.fit(coloured(4000, 0))


@pytest.mark.parametrize("variance", [0.01, 0.3, 4.0])
def test_the_expected_error_is_that_of_the_estimates(variance: float) -> None:
    clean = coloured(1000, 1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    estimate = FILTER.denoise(clean + variance**0.5 * noise, variance)
    # 192,000 values of a spectrum measured on 4,000 images: two per cent are five deviations.
    assert (estimate - clean).square().mean().item() == pytest.approx(
        FILTER.error(variance), rel=0.02
    )


def test_no_other_linear_filter_does_better() -> None:
    clean = coloured(4000, 0)  # the images it was measured on, for which it is the best
    x = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    best = (FILTER.denoise(x, 1.0) - clean).square().mean()
    for other in (0.8, 1.25):
        assert (FILTER.denoise(x, other) - clean).square().mean() > best
    grey = (x - FILTER.mean).mean(1, keepdim=True) + FILTER.mean
    assert (grey - clean).square().mean() > best


def test_channels_apart_are_filtered_by_their_own_spectra() -> None:
    clean = coloured(4000, 0)
    apart = WienerFilter.fit(clean, colours_together=False)
    assert apart.error(1.0) > 1.05 * FILTER.error(1.0)
    red = torch.cat([clean[:, :1]] * 3, dim=1)
    alone = WienerFilter.fit(red, colours_together=False)
    x = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    expected = alone.denoise(torch.cat([x[:, :1]] * 3, dim=1), 1.0)[:, 0]
    torch.testing.assert_close(apart.denoise(x, 1.0)[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_without_noise_the_image_stays_and_in_noise_the_mean_is_left() -> None:
    clean = coloured(3, 4)
    torch.testing.assert_close(FILTER.denoise(clean, 1e-9), clean, atol=1e-4, rtol=0)
    flat = FILTER.denoise(clean, 1e9)
    torch.testing.assert_close(flat, FILTER.mean.expand_as(clean), atol=1e-4, rtol=0)


def test_the_error_of_the_noise_estimate_falls_with_the_noise_that_is_seen() -> None:
    schedule = Schedule.linear()
    error = FILTER.eps_error(schedule)
    assert np.all(np.diff(error) < 0)
    # eps_hat - eps = -sqrt(alpha_bar / (1 - alpha_bar)) (x0_hat - x0)
    alpha_bar = schedule.alpha_bar[300]
    x0_error = FILTER.error((1 - alpha_bar) / alpha_bar)
    assert error[300] == pytest.approx(x0_error * alpha_bar / (1 - alpha_bar))
