"""Degradations from HR image to LR input.

`bicubic` is the synthetic setting of super-resolution: an exact scale and nothing else. `blind` and
`severe` are Eq. 19 of the DPI paper, CodeFormer's degradation (Zhou et al. 2022):

    I_L = { JPEG_q [ (I_H * k_{s, sigma}) reduced r times + n_delta ] } enlarged r times

Its parameters are drawn per image and recorded; the LR image follows from them and the HR image
alone. The steps are those of the released CodeFormer code, in its order:

1. Blur with a Gaussian of s x s taps, normalised; beyond the border the image is mirrored about
   its outermost pixel. Nothing is rounded.
2. Downscaling to floor(H / r) pixels, at least 1, by linear interpolation between pixel centres,
   without an anti-aliasing filter: the blur takes its place.
3. White Gaussian noise of standard deviation delta, in 8-bit levels, independent per channel; then
   clipping and rounding to 8 bits, as JPEG requires.
4. JPEG of quality q, with chroma at half the resolution.
5. Upscaling to H pixels by the same interpolation; clipping and rounding.

A value halfway between two levels is rounded up. A value within a millionth of halfway counts as
halfway, so that results do not depend on the order of floating-point additions.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.images import Pixels, resize_bicubic

Matrix = npt.NDArray[np.float64]

TIE = 1e-6
"""Tolerance for ties between two levels."""


@dataclass(frozen=True)
class Ranges:
    """Closed range of each parameter of Eq. 19.

    `r`, `sigma` and `delta` are real and drawn uniformly; `s` and `q` are integers. A kernel needs
    a centre, so only odd sizes are drawn, and 1 means no blur: this is how the paper's range "1 :
    17" is interpreted.

    `size` is the height and width in pixels for which the ranges are stated. Parameters in pixels
    (r, s, sigma) are scaled by the image's size / `size`, so that a face of 64 px is degraded like
    one of 512 px before downscaling.
    """

    size: int
    r: tuple[float, float]
    s: tuple[int, int]
    sigma: tuple[float, float]
    delta: tuple[float, float]
    q: tuple[int, int]


@dataclass(frozen=True)
class Parameters:
    """Parameters of Eq. 19 for one image; `noise` is the key of its Philox stream."""

    r: float
    s: int
    sigma: float
    delta: float
    q: int
    noise: int

    def reduced(self, size: int) -> int:
        """Return the size to which an image of this size is downscaled."""
        return max(1, int(size // self.r))


RANGES: Mapping[str, Ranges] = {
    # CodeFormer's released configuration for training under large degradation. Half of its kernels
    # have two sigmas; Eq. 19 has one, as here.
    "blind": Ranges(512, r=(4, 30), s=(41, 41), sigma=(1, 15), delta=(0, 20), q=(30, 80)),
    # The DPI paper, Severe Degradation Blind FSR, as printed for its results of 256 px.
    "severe": Ranges(256, r=(8, 16), s=(1, 17), sigma=(3, 20), delta=(30, 90), q=(40, 50)),
}

DEGRADATIONS = ("bicubic", *RANGES)
"""Values of `--degradation` for datasets with ground truth."""

REAL = "real"
"""Degradation of real-world images: none."""


def draw_parameters(ranges: Ranges, generator: np.random.Generator, size: int) -> Parameters:
    """Draw the parameters of one image of this size in pixels.

    A reduction that would enlarge is none (r = 1); a scaled kernel keeps an odd number of taps.
    """
    odd = [taps for taps in range(ranges.s[0], ranges.s[1] + 1) if taps % 2]
    ratio = size / ranges.size
    return Parameters(
        r=max(1.0, ratio * float(generator.uniform(*ranges.r))),
        s=max(0, round((ratio * odd[int(generator.integers(len(odd)))] - 1) / 2)) * 2 + 1,
        sigma=ratio * float(generator.uniform(*ranges.sigma)),
        delta=float(generator.uniform(*ranges.delta)),
        q=int(generator.integers(ranges.q[0], ranges.q[1], endpoint=True)),
        noise=int(generator.integers(2**63)),
    )


def bicubic(hr: Pixels, scale: int) -> Pixels:
    """Downscale with PIL's bicubic filter and round to 8 bits, as in the paper."""
    return resize_bicubic(hr, len(hr) // scale)


def degrade(hr: Pixels, parameters: Parameters) -> Pixels:
    """Apply Eq. 19 to a square image [H, H, 3], keeping its size."""
    reduce, enlarge = matrices(len(hr), parameters)
    small = along_both_axes(reduce, hr.astype(np.float64))
    noisy = small + parameters.delta * noise_of(parameters, len(small))
    return to_levels(along_both_axes(enlarge, jpeg(to_levels(noisy), parameters.q).astype(float)))


def matrices(size: int, parameters: Parameters) -> tuple[Matrix, Matrix]:
    """Return blur and downscaling as one matrix [h, H] per axis, and the upscaling [H, h]."""
    small = parameters.reduced(size)
    blur = gaussian_blur(size, parameters.s, parameters.sigma)
    return interpolation(size, small) @ blur, interpolation(small, size)


def gaussian_blur(size: int, taps: int, sigma: float) -> Matrix:
    """Return Gaussian blur of one axis as a matrix [size, size]."""
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    position = np.arange(size)[:, None] + offsets
    period = max(2 * (size - 1), 1)  # of a picture mirrored repeatedly
    position = np.abs((position + size - 1) % period - (size - 1))
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], position), kernel / kernel.sum())
    return matrix


def interpolation(source: int, target: int) -> Matrix:
    """Return linear interpolation of one axis [target, source], constant beyond the centres."""
    centre = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(centre.astype(int), max(source - 2, 0))
    rows = np.arange(target)
    matrix = np.zeros((target, source))
    matrix[rows, left] = 1 - (centre - left)
    matrix[rows, np.minimum(left + 1, source - 1)] += centre - left
    return matrix


def along_both_axes(matrix: Matrix, picture: Matrix) -> Matrix:
    """Apply M x M^T to each channel: [n, n, 3] to [m, m, 3]."""
    return np.einsum("ih,hwc,jw->ijc", matrix, picture, matrix, optimize=True)


def noise_of(parameters: Parameters, size: int) -> Matrix:
    """Draw an image's standard normal noise [size, size, 3], the same on every machine."""
    generator = np.random.Generator(np.random.Philox(key=parameters.noise))
    return generator.standard_normal((size, size, 3))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Return an image [h, w, 3] after JPEG with chroma at half the resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


def to_levels(values: Matrix) -> Pixels:
    """Clip and round to 8 bits; halves round up, see above."""
    return np.floor(np.clip(values, 0, 255) + 0.5 + TIE).astype(np.uint8)
