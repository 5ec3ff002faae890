"""Gaussian images, whose denoiser and posterior are known in closed form.

With x_0 ~ N(mu, C), every quantity of a diffusion model is a linear map: the best noise estimate,
and the distribution of x_0 given y = A x_0. Samplers can be held to it without training anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.operators import SeparableOperator
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule


@dataclass(frozen=True)
class GaussianImages:
    """Images [3, size, size] from N(mean, covariance) over the flattened pixels, in float64."""

    size: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def smooth(cls, size: int, deviation: float = 0.2) -> "GaussianImages":
        """Return smooth images, correlated by distance and small enough to never clip."""
        axis = np.arange(size)
        one_axis = np.exp(-((axis[:, None] - axis[None]) ** 2) / (2 * 1.5**2))
        colours = np.array([[1.0, 0.6, 0.4], [0.6, 1.0, 0.6], [0.4, 0.6, 1.0]])
        covariance = np.kron(colours, np.kron(one_axis, one_axis))
        # A little independent noise keeps the covariance well away from singular.
        covariance = deviation**2 * (0.9 * covariance + 0.1 * np.eye(len(covariance)))
        mean = 0.1 * np.sin(np.arange(len(covariance)))
        return cls(size, torch.from_numpy(mean), torch.from_numpy(covariance))

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        """Return eigenvalues and eigenvectors of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return values, vectors

    def network(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the exact network E[eps | x_t] for x_t [B, 3, size, size]."""
        schedule = Schedule.linear()
        values, vectors = self._spectrum

        def predict(x: Tensor, t: Tensor) -> Tensor:
            alpha_bar = float(schedule.alpha_bar[int(t[0])])
            gain = (1 - alpha_bar) ** 0.5 / (alpha_bar * values + 1 - alpha_bar)
            offset = x.double().flatten(1) - alpha_bar**0.5 * self.mean
            eps = (offset @ vectors * gain) @ vectors.T
            return eps.reshape(x.shape).to(x)

        return predict

    def prior(self) -> Prior:
        """Return the prior with this network."""
        return Prior(self.network(), Schedule.linear())

    def draw(self, count: int, seed: int) -> Tensor:
        """Draw images [count, 3, size, size]."""
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        images = self.mean + white @ torch.linalg.cholesky(self.covariance).T
        return images.reshape(count, 3, self.size, self.size).float()

    def posterior_mean(self, operator: SeparableOperator, y: Tensor) -> Tensor:
        """Return E[x_0 | A x_0 = y], [B, 3, size, size], for measurements [B, 3, h, h]."""
        matrix, gain = self._gain(operator)
        innovation = y.double().flatten(1) - matrix @ self.mean
        flat = self.mean + innovation @ gain.T
        return flat.reshape(len(y), 3, self.size, self.size).float()

    def posterior_covariance(self, operator: SeparableOperator) -> Tensor:
        """Return Cov[x_0 | A x_0 = y] over the flattened pixels; it does not depend on y."""
        matrix, gain = self._gain(operator)
        return self.covariance - gain @ matrix @ self.covariance

    def _gain(self, operator: SeparableOperator) -> tuple[Tensor, Tensor]:
        """Return A on flattened pixels and the Kalman gain."""
        a = torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix)).double()
        return a, self.covariance @ a.T @ torch.linalg.pinv(a @ self.covariance @ a.T)
