"""Noise schedules: tables from step index to noise level, in float64."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.core.errors import BenchError

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """A discrete diffusion schedule of N steps, ascending in noise; index 0 is the cleanest.

    `timesteps[i]` is the network's input at index i: the position in the schedule that it was
    trained with. A respaced schedule has fewer steps and the same marginals, so that `alpha_bar[i]`
    here equals the training schedule's at `timesteps[i]`. Names follow Ho et al. 2020; index i here
    is t = i + 1 of the papers.
    """

    betas: Table
    timesteps: npt.NDArray[np.int64]

    @classmethod
    def linear(cls, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> "Schedule":
        """Return the linear schedule of Ho et al. 2020, used by every prior here."""
        return cls(np.linspace(first, last, steps, dtype=np.float64), np.arange(steps))

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_bar(self) -> Table:
        """Return the cumulative product of 1 - beta (Eq. 2): signal power at each index."""
        return np.cumprod(1.0 - self.betas, dtype=np.float64)

    @cached_property
    def alpha_bar_prev(self) -> Table:
        """Return `alpha_bar` one index lower; 1 before the first."""
        return np.append(1.0, self.alpha_bar[:-1])

    @cached_property
    def posterior_variance(self) -> Table:
        """Return the variance of q(x_{t-1} | x_t, x_0), the paper's beta tilde; 0 at index 0."""
        return self.betas * (1.0 - self.alpha_bar_prev) / (1.0 - self.alpha_bar)

    @cached_property
    def posterior_log_variance(self) -> Table:
        """Return its logarithm, with index 1's value at index 0 (Ho et al. 2020)."""
        if len(self) == 1:
            return np.log(self.betas)
        return np.log(np.append(self.posterior_variance[1], self.posterior_variance[1:]))

    @cached_property
    def posterior_x0_weight(self) -> Table:
        """Return c1 of Eq. 4: weight of x_0 in the mean of q(x_{t-1} | x_t, x_0)."""
        return self.betas * np.sqrt(self.alpha_bar_prev) / (1.0 - self.alpha_bar)

    @cached_property
    def posterior_xt_weight(self) -> Table:
        """Return c2 of Eq. 4: weight of x_t in the mean of q(x_{t-1} | x_t, x_0)."""
        return (1.0 - self.alpha_bar_prev) * np.sqrt(1.0 - self.betas) / (1.0 - self.alpha_bar)

    def respaced(self, steps: int, spacing: str = "even") -> "Schedule":
        """Respace to `steps` indices, recomputing betas so that alpha_bar is unchanged.

        `spacing` says which are kept: "even", from the first to the last at a constant fractional
        stride (guided-diffusion's default); "ddim", every n-th from 0 for the smallest integer n
        that gives `steps` of them (its `ddim<N>`); "strided", every (N // steps)-th from 0
        (DDRM, DDNM). The last two leave out the noisiest end.

        Raises:
            BenchError: the schedule can't be respaced so.
        """
        if not 1 <= steps <= len(self):
            raise BenchError(
                f"A schedule of {len(self)} steps can't be respaced to {steps}: "
                f"choose between 1 and {len(self)} steps."
            )
        if spacing == "ddim":
            strides = {-(-len(self) // s): s for s in range(len(self), 0, -1)}
            if steps not in strides:
                less = max(count for count in strides if count < steps)
                more = min(count for count in strides if count > steps)
                raise BenchError(
                    f"No integer stride takes {steps} of {len(self)} steps: "
                    f"choose {less} or {more}."
                )
            kept = np.arange(0, len(self), strides[steps])
        elif spacing == "strided":
            kept = np.arange(steps) * (len(self) // steps)
        elif spacing == "even":
            stride = (len(self) - 1) / (steps - 1) if steps > 1 else 1.0
            kept = np.array([round(i * stride) for i in range(steps)])
        else:
            raise BenchError(f"Unknown spacing {spacing!r}: choose 'even', 'ddim' or 'strided'.")
        return self.keep(kept)

    def keep(self, indices: npt.NDArray[np.int64]) -> "Schedule":
        """Return the schedule restricted to these ascending indices."""
        alpha_bar = self.alpha_bar[indices]
        betas = 1.0 - alpha_bar / np.append(1.0, alpha_bar[:-1])
        return Schedule(betas, self.timesteps[indices])


def gather(table: Table, t: Tensor) -> Tensor:
    """Return one float32 coefficient per image [B, 1, 1, 1] from a table at indices [B]."""
    return torch.from_numpy(table).to(t.device)[t].float()[:, None, None, None]


def q_sample(schedule: Schedule, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Draw from q(x_t | x_0), Eq. 2: images [B, 3, H, W] at per-image indices [B]."""
    alpha_bar = schedule.alpha_bar
    return gather(np.sqrt(alpha_bar), t) * x0 + gather(np.sqrt(1.0 - alpha_bar), t) * noise


def q_posterior_mean(schedule: Schedule, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """Return the mean of q(x_{t-1} | x_t, x_0), Eq. 4, at per-image indices [B]."""
    return (
        gather(schedule.posterior_x0_weight, t) * x0 + gather(schedule.posterior_xt_weight, t) * x_t
    )
