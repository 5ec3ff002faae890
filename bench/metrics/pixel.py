"""PSNR and SSIM on 8-bit RGB without border cropping."""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.images import Pixels
from bench.metrics.base import Metric, package_version

_PEAK = 255
_WINDOW = 11
_LUMA = np.array([65.481, 128.553, 24.966])


@dataclass(frozen=True)
class Psnr(Metric):
    """Peak signal-to-noise ratio over all pixels and channels; infinite for equal images."""

    identity = "psnr: RGB, 8 bits, uncropped, data range 255, equal gives inf"

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        return [psnr(picture, original) for picture, original in zip(sr, hr, strict=True)]


def psnr(picture: Pixels, original: Pixels) -> float:
    """Return the PSNR of two images in dB; infinite for equal images."""
    difference = picture.astype(np.int64) - original.astype(np.int64)
    squares = int(np.square(difference).sum())  # exact, so the order of the pixels can't matter
    return 10 * math.log10(_PEAK**2 * difference.size / squares) if squares else math.inf


@dataclass(frozen=True)
class PsnrLuma(Metric):
    """PSNR on luma, as super-resolution papers since SRCNN print it.

    Luma of ITU-R BT.601 on [16, 235], as MATLAB's rgb2ycbcr and BasicSR's bgr2ycbcr compute it, in
    float64 and not rounded.
    """

    identity = "psnr-y: BT.601 luma of 8-bit RGB on [16, 235], not rounded, uncropped, range 255"

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        values = []
        for picture, original in zip(sr, hr, strict=True):
            error = float(np.square(luma(picture) - luma(original)).mean())
            values.append(10 * math.log10(_PEAK**2 / error) if error else math.inf)
        return values


def luma(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Return the luma [H, W] of an image [H, W, 3], 16 for black and 235 for white."""
    return np.asarray(16 + pixels.astype(np.float64) @ _LUMA / _PEAK)


@dataclass(frozen=True)
class Ssim(Metric):
    """Structural similarity in the form of its paper (Wang, Bovik, Sheikh, Simoncelli, 2004).

    Gaussian weights of 11 x 11 and standard deviation 1.5, K1 0.01, K2 0.03; the mean over the
    places where the window lies wholly inside, then over the channels.
    """

    @property
    def identity(self) -> str:
        return (
            "ssim: RGB mean over channels, 8 bits, uncropped, data range 255, Gaussian 11x11 "
            "sigma 1.5, population covariance, K1 0.01, K2 0.03, valid region, "
            f"scikit-image {package_version('scikit-image')}"
        )

    def _smallest(self) -> int:
        return _WINDOW

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        return [_ssim(picture, original) for picture, original in zip(sr, hr, strict=True)]


def _ssim(picture: Pixels, original: Pixels) -> float:
    metrics = importlib.import_module("skimage.metrics")  # slow, so import it late
    _, similarity = metrics.structural_similarity(
        picture,
        original,
        gaussian_weights=True,
        sigma=1.5,  # its kernel reaches 3.5 sigma, rounded: 5 pixels each way
        use_sample_covariance=False,
        K1=0.01,
        K2=0.03,
        data_range=_PEAK,
        channel_axis=-1,
        full=True,
    )
    edge = _WINDOW // 2
    return float(similarity[edge:-edge, edge:-edge].mean(dtype=np.float64))


METRICS = (
    Psnr("psnr", "PSNR", higher_is_better=True, unit="dB", digits=2, place=10),
    PsnrLuma("psnr-y", "PSNR-Y", higher_is_better=True, unit="dB", digits=2, place=11),
    Ssim("ssim", "SSIM", higher_is_better=True, unit="", digits=4, place=20),
)
