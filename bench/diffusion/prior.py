"""The prior: a noise-predicting network on a schedule, and the steps that sample from it.

Steps are free functions of tensors and an index into the schedule; what they draw is passed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.schedule import Schedule

Network = Callable[[Tensor, Tensor], Tensor]
"""(x [B, 3, H, W], timesteps [B]) -> eps [B, 3, H, W], or [B, 6, H, W] with learned variance."""

ConditionalNetwork = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [B, 3, H, W], timesteps [B], condition [B, 3, H, W]) -> [B, 3, H, W]."""


@dataclass(frozen=True)
class Prediction:
    """What the prior says of x_t; every field is [B, 3, H, W].

    `eps` is the network's own; `mean` belongs to `x0_hat`, so that after clipping the three need
    not agree. `log_variance` is that of the ancestral step.
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

    def respaced(self, steps: int, spacing: str = "even") -> "Prior":
        """The same model on fewer steps; see `Schedule.respaced`."""
        return replace(self, schedule=self.schedule.respaced(steps, spacing))

    def predict(self, x: Tensor, index: int, clip: bool = True) -> Prediction:
        """One network call on x_t [B, 3, H, W] at an index of the schedule.

        With `clip` the clean estimate is clipped to [-1, 1] before the mean is formed, as
        guided-diffusion does. A network without variance channels gets the fixed small variance.
        """
        schedule = self.schedule
        timesteps = torch.full((len(x),), int(schedule.timesteps[index]), device=x.device)
        output = self.network(x, timesteps)
        eps = output[:, :3]
        low = float(schedule.posterior_log_variance[index])
        if output.shape[1] == 6:
            share = (output[:, 3:] + 1) / 2
            log_variance = low + share * (math.log(schedule.betas[index]) - low)  # Eq. 5
        else:
            log_variance = torch.full_like(x, low)
        x0_hat = x0_from_eps(schedule, x, eps, index)
        if clip:
            x0_hat = x0_hat.clamp(-1, 1)
        return Prediction(eps, x0_hat, posterior_mean(schedule, x0_hat, x, index), log_variance)


def sample(prior: Prior, x: Tensor, noise: Noise) -> Tensor:
    """Ancestral sampling of the prior alone (Ho et al. 2020, Algorithm 2).

    `x` [B, 3, H, W] is x_T, standard normal; the result is in [-1, 1].
    """
    for index in reversed(range(len(prior.schedule))):
        prediction = prior.predict(x, index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
    return x.clamp(-1, 1)


def x0_from_eps(schedule: Schedule, x: Tensor, eps: Tensor, index: int) -> Tensor:
    """Clean estimate that belongs to a noise estimate, below Eq. 4; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)


def eps_from_x0(schedule: Schedule, x: Tensor, x0: Tensor, index: int) -> Tensor:
    """Noise estimate that belongs to a clean estimate; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return (x - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar)


def noised(schedule: Schedule, x0: Tensor, eps: Tensor, index: int) -> Tensor:
    """x_t of a clean image and noise, Eq. 2; both [B, 3, H, W]."""
    alpha_bar = schedule.alpha_bar[index]
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * eps


def posterior_mean(schedule: Schedule, x0: Tensor, x: Tensor, index: int) -> Tensor:
    """Mean of q(x_{t-1} | x_t, x_0), Eq. 4; both [B, 3, H, W]."""
    x0_weight = float(schedule.posterior_x0_weight[index])
    return x0_weight * x0 + float(schedule.posterior_xt_weight[index]) * x


def ancestral_step(mean: Tensor, log_variance: Tensor, noise: Tensor, index: int) -> Tensor:
    """Draw x_{t-1} from its Gaussian (Ho et al. 2020, Algorithm 2); the last step adds no noise."""
    return mean if index == 0 else mean + (0.5 * log_variance).exp() * noise


def ddim_step(
    schedule: Schedule, x0: Tensor, eps: Tensor, noise: Tensor, index: int, eta: float
) -> Tensor:
    """x_{t-1} of DDIM (Song et al. 2020, Eq. 12 and 16); eta 0 is deterministic, 1 ancestral."""
    alpha_bar, previous = schedule.alpha_bar[index], schedule.alpha_bar_prev[index]
    sigma = eta * np.sqrt((1 - previous) / (1 - alpha_bar) * (1 - alpha_bar / previous))
    direction = np.sqrt(1 - previous - sigma**2)
    return float(np.sqrt(previous)) * x0 + float(direction) * eps + float(sigma) * noise
