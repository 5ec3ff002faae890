"""Linear measurement operators y = A x, separable into one small matrix per axis."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeparableOperator:
    """A x = M x M^T for each channel of a square image: the same matrix M along both axes.

    `matrix` is M [h, H] and `inverse` its pseudo-inverse [H, h]. As A is a Kronecker product,
    its pseudo-inverse applies `inverse` along both axes.
    """

    matrix: Tensor
    inverse: Tensor

    @classmethod
    def from_matrix(cls, matrix: Matrix) -> "SeparableOperator":
        """Return the operator of M [h, H]; the pseudo-inverse is computed in float64."""
        inverse = np.linalg.pinv(matrix)
        return cls(torch.from_numpy(matrix).float(), torch.from_numpy(inverse).float())

    def __call__(self, x: Tensor) -> Tensor:
        """Apply A: images [B, C, H, H] to measurements [B, C, h, h]."""
        return _apply(self.matrix, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply A^T: [B, C, h, h] to [B, C, H, H]."""
        return _apply(self.matrix, y, transposed=True)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """Apply A^+: [B, C, h, h] to the minimum-norm image [B, C, H, H] with that measurement."""
        return _apply(self.inverse, y)

    def svd(self) -> "SeparableSVD":
        """Return A = U S V^T, computed once in float64 from one axis."""
        return self._svd

    @cached_property
    def _svd(self) -> "SeparableSVD":
        left, values, right = np.linalg.svd(self.matrix.double().cpu().numpy())
        return SeparableSVD(*(torch.from_numpy(part).float() for part in (left, values, right.T)))


@dataclass(frozen=True, eq=False)
class SeparableSVD:
    """A = U S V^T of a separable operator: `left` [h, h], `values` [h], `right` [H, H] per axis.

    Singular vectors of a Kronecker product are outer products, so a spectrum V^T x keeps the form
    of an image: coefficient (i, j) belongs to right vectors i and j, its singular value is
    values[i] * values[j], and the h x h corner is what A sees; the rest is A's null space.
    Within the null space, and among equal singular values, the vectors are LAPACK's choice and
    differ between machines: whoever draws noise draws it in pixels, where that choice cancels.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    @cached_property
    def singular(self) -> Tensor:
        """Return singular values [h, h] in the order of the spectrum's corner."""
        return torch.outer(self.values, self.values)

    def singular_on(self, x: Tensor) -> Tensor:
        """Return the singular values with x's type and device."""
        return _on(self.singular, x.device, x.dtype)

    def spectrum(self, x: Tensor) -> Tensor:
        """Return V^T x: images [B, C, H, H] to coefficients of the same shape."""
        return _apply(self.right, x, transposed=True)

    def image(self, spectrum: Tensor) -> Tensor:
        """Return V c, the inverse of `spectrum`."""
        return _apply(self.right, spectrum)

    def measured(self, y: Tensor) -> Tensor:
        """Return U^T y: measurements [B, C, h, h] to coefficients (S V^T x for y = A x)."""
        return _apply(self.left, y, transposed=True)


def _apply(matrix: Tensor, x: Tensor, transposed: bool = False) -> Tensor:
    matrix = _on(matrix, x.device, x.dtype)
    if transposed:
        matrix = matrix.T
    return matrix @ x @ matrix.T


@lru_cache(maxsize=64)
def _on(matrix: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the matrix on a device, copied once because a copy per step stalls a GPU."""
    return matrix.to(device, dtype)


def resize_matrix(source: int, target: int) -> Matrix:
    """Return bicubic resizing of one axis as a matrix [target, source].

    Keys' kernel with a = -0.5, widened when it reduces (antialiasing), border mirrored, rows
    normalised: MATLAB's imresize, which the released ILVR, DPS, DR2, DDRM and DDNM share.
    """
    ratio = target / source
    widening = max(1.0, 1.0 / ratio)
    centres = (np.arange(target) + 0.5) / ratio - 0.5
    reach = int(np.ceil(2 * widening)) + 1
    offsets = np.arange(-reach, reach + 1)
    taps = np.floor(centres).astype(int)[:, None] + offsets[None]
    weights = _keys_kernel((taps - centres[:, None]) / widening)
    weights /= weights.sum(axis=1, keepdims=True)
    # Mirrored about the edge between the border pixel and its reflection, as often as needed.
    mirrored = np.mod(taps, 2 * source)
    mirrored = np.where(mirrored < source, mirrored, 2 * source - 1 - mirrored)
    matrix = np.zeros((target, source))
    np.add.at(matrix, (np.arange(target)[:, None], mirrored), weights)
    return matrix


def _keys_kernel(x: Matrix) -> Matrix:
    """Evaluate the cubic convolution kernel of Keys 1981 with a = -0.5."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


@lru_cache(maxsize=32)
def bicubic(size: int, scale: int) -> SeparableOperator:
    """Return bicubic downscaling of size x size images by an integer scale."""
    return SeparableOperator.from_matrix(resize_matrix(size, size // scale))


@lru_cache(maxsize=32)
def average_pooling(size: int, scale: int) -> SeparableOperator:
    """Return average pooling of size x size images over scale x scale squares."""
    matrix = np.kron(np.eye(size // scale), np.full((1, scale), 1.0 / scale))
    return SeparableOperator.from_matrix(matrix)


@lru_cache(maxsize=32)
def bicubic_up(size: int, scale: int) -> SeparableOperator:
    """Return bicubic upscaling to size x size images; it is not the inverse of `bicubic`."""
    return SeparableOperator.from_matrix(resize_matrix(size // scale, size))


OPERATORS = {"bicubic": bicubic, "average": average_pooling}
"""Name of a setting -> operator of (size, scale)."""
