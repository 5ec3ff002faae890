"""An exact oracle: Gaussian images, for which denoiser and posterior are known in closed form.

With x_0 ~ N(mu, C), every quantity of a diffusion model is a linear map: the best noise estimate,
and the distribution of x_0 given y = A x_0. Samplers can be held to it without training anything.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule

SIZE = 8
SCALE = 4
REPETITIONS = 200


@dataclass(frozen=True)
class GaussianImages:
    """Images [3, 8, 8] from N(mean, covariance), both over the flattened pixels, in float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def smooth(cls, deviation: float = 0.2) -> "GaussianImages":
        """Return smooth images: correlation falls with distance; too small to be clipped."""
        axis = np.arange(SIZE)
        one_axis = np.exp(-((axis[:, None] - axis[None]) ** 2) / (2 * 1.5**2))
        colours = np.array([[1.0, 0.6, 0.4], [0.6, 1.0, 0.6], [0.4, 0.6, 1.0]])
        covariance = np.kron(colours, np.kron(one_axis, one_axis))
        # A little independent noise keeps the covariance well away from singular.
        covariance = deviation**2 * (0.9 * covariance + 0.1 * np.eye(len(covariance)))
        mean = 0.1 * np.sin(np.arange(len(covariance)))
        return cls(torch.from_numpy(mean), torch.from_numpy(covariance))

    def prior(self) -> Prior:
        """Return a prior whose noise estimate is exactly E[eps | x_t]."""
        schedule = Schedule.linear()

        def network(x: Tensor, t: Tensor) -> Tensor:
            alpha_bar = float(schedule.alpha_bar[int(t[0])])
            noisy = alpha_bar * self.covariance + (1 - alpha_bar) * torch.eye(len(self.mean))
            offset = x.double().flatten(1) - alpha_bar**0.5 * self.mean
            eps = (1 - alpha_bar) ** 0.5 * torch.linalg.solve(noisy, offset.T).T
            return eps.reshape(x.shape).to(x)

        return Prior(network, schedule)

    def draw(self, count: int, seed: int) -> Tensor:
        """Draw images [count, 3, 8, 8]."""
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        images = self.mean + white @ torch.linalg.cholesky(self.covariance).T
        return images.reshape(count, 3, SIZE, SIZE).float()

    def posterior_mean(self, operator: SeparableOperator, y: Tensor) -> Tensor:
        """Return E[x_0 | A x_0 = y], [B, 3, 8, 8], for measurements [B, 3, h, h]."""
        a = torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix)).double()
        gain = self.covariance @ a.T @ torch.linalg.pinv(a @ self.covariance @ a.T)
        innovation = y.double().flatten(1) - a @ self.mean
        return (self.mean + innovation @ gain.T).reshape(len(y), 3, SIZE, SIZE).float()


GAUSSIAN = GaussianImages.smooth()
PRIOR_MEAN = GAUSSIAN.mean.reshape(1, 3, SIZE, SIZE).float()


def noise(count: int) -> KeyedNoise:
    """Return noise streams for `count` repetitions of one image."""
    return KeyedNoise([StreamKey(0, "oracle", repetition) for repetition in range(count)])


def many(image: Tensor) -> Tensor:
    """Repeat an image [1, 3, h, w] for every repetition."""
    return image.expand(REPETITIONS, -1, -1, -1)


def explained(images: Tensor, posterior: Tensor) -> float:
    """Return how far the images' mean is from the prior's to the posterior's (1: all the way)."""
    missed = (images.mean(0, keepdim=True) - posterior).square().mean().sqrt()
    return 1 - float(missed / (PRIOR_MEAN - posterior).square().mean().sqrt())
