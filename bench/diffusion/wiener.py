"""The Wiener filter: the best linear denoiser of images with a known spectrum.

It is what a denoising network must beat to have learned more of images than their spectrum.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.schedule import Schedule, Table


@dataclass(frozen=True)
class WienerFilter:
    """Mean image [3, H, W], and eigensystems of the colour covariance per frequency [H, W].

    `power` [H, W, 3] are its eigenvalues, `basis` [H, W, 3, 3] its eigenvectors in columns, of
    the unitary Fourier transform; images count as periodic.
    """

    mean: Tensor
    power: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, images: Tensor, colours_together: bool = True) -> "WienerFilter":
        """Measure mean and spectrum of images [N, 3, H, W].

        Without `colours_together` each channel is filtered by its own spectrum alone, which is
        worse where channels resemble each other.
        """
        mean = images.mean(0)
        spectra = _transform(images - mean)
        covariance = torch.einsum("nhwc,nhwd->hwcd", spectra, spectra.conj()) / len(images)
        if not colours_together:
            covariance = covariance * torch.eye(3)
        power, basis = torch.linalg.eigh(covariance)
        return cls(mean, power.clamp_min(0), basis)

    def denoise(self, x: Tensor, variance: float) -> Tensor:
        """Estimate the images of x = image + noise of this variance; both [B, 3, H, W]."""
        gain = (self.power / (self.power + variance)).to(self.basis.dtype)
        coefficients = self.basis.mH @ _transform(x - self.mean)[..., None]
        estimate = (self.basis @ (gain[..., None] * coefficients)).squeeze(-1)
        return torch.fft.ifft2(estimate.permute(0, 3, 1, 2), norm="ortho").real + self.mean

    def error(self, variance: float) -> float:
        """Return the expected mean squared error of `denoise` at this noise variance."""
        return float((self.power * variance / (self.power + variance)).mean())

    def eps_error(self, schedule: Schedule) -> Table:
        """Return the squared error of its eps estimate per index of a schedule."""
        ratio = (1.0 - schedule.alpha_bar) / schedule.alpha_bar  # noise to signal, of x_t
        return np.array([self.error(float(r)) / r for r in ratio])


def _transform(images: Tensor) -> Tensor:
    """Map [N, 3, H, W] to Fourier coefficients [N, H, W, 3]."""
    return torch.fft.fft2(images, norm="ortho").permute(0, 2, 3, 1)
