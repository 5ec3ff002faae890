"""The prior: a denoising network on a schedule, and the steps that sample from it.

Steps are free functions of tensors and an index into the schedule; random draws are passed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.schedule import Schedule

Network = Callable[[Tensor, Tensor], Tensor]
"""(x [B, 3, H, W], timesteps [B]) -> eps or v [B, 3, H, W], or [B, 6, H, W] with variance."""

Parametrisation = Literal["eps", "v"]
"""Parametrisation of a network: the noise eps, or v = sqrt(abar) eps - sqrt(1 - abar) x0.

v is the velocity of Salimans and Ho 2022. Computing x0_hat from eps divides by sqrt(abar), which
amplifies errors 157 times at t = 999 of the linear schedule; from v it does not.
"""

ConditionalNetwork = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [B, 3, H, W], timesteps [B], condition [B, 3, H, W]) -> [B, 3, H, W]."""


@dataclass(frozen=True)
class Prediction:
    """Estimates from one network call on x_t; every field is [B, 3, H, W].

    `eps` is the network's own estimate. `mean` belongs to `x0_hat`, which may be clipped, so eps
    and x0_hat need not agree. `log_variance` is that of the ancestral step.
    """

    eps: Tensor
    x0_hat: Tensor
    mean: Tensor
    log_variance: Tensor


@dataclass(frozen=True)
class Prior:
    """A diffusion model of clean images in [-1, 1], on a schedule that may be respaced."""

    network: Network
    schedule: Schedule
    prediction: Parametrisation = "eps"

    def respaced(self, steps: int, spacing: str = "even") -> "Prior":
        """Return the same model on fewer steps; see `Schedule.respaced`."""
        return replace(self, schedule=self.schedule.respaced(steps, spacing))

    def predict(self, x: Tensor, index: int, clip: bool = True) -> Prediction:
        """Call the network once on x_t [B, 3, H, W] at an index of the schedule.

        With `clip`, x0_hat is clipped to [-1, 1] before the mean is formed, as guided-diffusion
        does. A network without variance channels gets the fixed small variance.
        """
        schedule = self.schedule
        timesteps = torch.full((len(x),), int(schedule.timesteps[index]), device=x.device)
        output = self.network(x, timesteps)
        low = float(schedule.posterior_log_variance[index])
        if output.shape[1] == 6:
            share = (output[:, 3:] + 1) / 2
            log_variance = low + share * (math.log(schedule.betas[index]) - low)  # Eq. 5
        else:
            log_variance = torch.full_like(x, low)
        if self.prediction == "eps":
            eps = output[:, :3]
            x0_hat = x0_from_eps(schedule, x, eps, index)
        else:
            eps, x0_hat = eps_and_x0_from_v(schedule, x, output[:, :3], index)
        if clip:
            x0_hat = x0_hat.clamp(-1, 1)
        return Prediction(eps, x0_hat, posterior_mean(schedule, x0_hat, x, index), log_variance)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return the denoised image D(x; sigma) of x = x0 + sigma n (Karras et al. 2022, VP).

        The network gets the continuous time at which the variance-preserving SDE of Song et al.
        2021 (beta from 0.1 to 20) has this noise level. The schedule is not used, nothing clipped.

        Args:
            x: [B, 3, H, W], in units of x0.
            sigma: standard deviation of the noise in x, up to 100.
        """
        scale = 1 / math.sqrt(1 + sigma**2)  # sqrt(alpha_bar)
        time = (math.sqrt(0.01 + 39.8 * math.log1p(sigma**2)) - 0.1) / 19.9
        times = torch.full((len(x),), 999 * time, device=x.device)
        output = self.network(scale * x, times)[:, :3]
        if self.prediction == "eps":
            return x - sigma * output
        return scale * (scale * x - sigma * output)


def sample(prior: Prior, x: Tensor, noise: Noise) -> Tensor:
    """Sample the prior unconditionally (Ho et al. 2020, Algorithm 2).

    `x` [B, 3, H, W] is x_T, standard normal; the result is in [-1, 1].
    """
    for index in reversed(range(len(prior.schedule))):
        prediction = prior.predict(x, index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
    return x.clamp(-1, 1)


def x0_from_eps(schedule: Schedule, x: Tensor, eps: Tensor, index: int) -> Tensor:
    """Return x0_hat from eps, below Eq. 4; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)


def eps_from_x0(schedule: Schedule, x: Tensor, x0: Tensor, index: int) -> Tensor:
    """Return eps from x0_hat; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return (x - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar)


def eps_and_x0_from_v(
    schedule: Schedule, x: Tensor, v: Tensor, index: int
) -> tuple[Tensor, Tensor]:
    """Return eps and x0 from a velocity v (Salimans and Ho 2022, App. D)."""
    alpha_bar = schedule.alpha_bar[index]
    signal, level = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    return signal * v + level * x, signal * x - level * v


def noised(schedule: Schedule, x0: Tensor, eps: Tensor, index: int) -> Tensor:
    """Return x_t from a clean image and noise, Eq. 2; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * eps


def posterior_mean(schedule: Schedule, x0: Tensor, x: Tensor, index: int) -> Tensor:
    """Return the mean of q(x_{t-1} | x_t, x_0), Eq. 4; both [B, 3, H, W]."""
    x0_weight = float(schedule.posterior_x0_weight[index])
    return x0_weight * x0 + float(schedule.posterior_xt_weight[index]) * x


def ancestral_step(mean: Tensor, log_variance: Tensor, noise: Tensor, index: int) -> Tensor:
    """Draw x_{t-1} from its Gaussian (Ho et al. 2020, Algorithm 2); the last step adds no noise."""
    return mean if index == 0 else mean + (0.5 * log_variance).exp() * noise


def ddim_step(
    schedule: Schedule, x0: Tensor, eps: Tensor, noise: Tensor, index: int, eta: float
) -> Tensor:
    """Return x_{t-1} of DDIM (Song et al. 2020, Eq. 12, 16); eta 0 deterministic, 1 ancestral."""
    alpha_bar, previous = schedule.alpha_bar[index], schedule.alpha_bar_prev[index]
    sigma = eta * np.sqrt((1 - previous) / (1 - alpha_bar) * (1 - alpha_bar / previous))
    direction = np.sqrt(1 - previous - sigma**2)
    return float(np.sqrt(previous)) * x0 + float(direction) * eps + float(sigma) * noise
