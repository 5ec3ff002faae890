"""The singular bases in which DDRM's reference drew its noise.

The record depends on them, but the dump lacks them: a null space has many bases, and which one
LAPACK returns depends on rounding errors, hence on the processor.
"""

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.diffusion.operators import resize_matrix

INSTRUCTIONS = ("", "SSE4_2", "AVX2", "AVX512")
"""Code paths of MKL: the default of this CPU, then others. On AMD the default is SSE4_2."""

PROGRAM = """
import io, sys, numpy, torch
matrix = torch.from_numpy(numpy.load(io.BytesIO(sys.stdin.buffer.read())))
_, values, right = torch.svd(matrix, some=False)
numpy.savez(sys.stdout.buffer, values=values, right=right)
"""


class RecordedBasis(Protocol):
    """Orthonormal images in the reference's order, the measured ones first."""

    def image(self, spectrum: Tensor) -> Tensor:
        """Transform coefficients [B, 3 * H * H] to images [B, 3, H, H]."""
        ...


@dataclass(frozen=True)
class PatchBasis:
    """The basis of average pooling: [f * f, f * f] per f x f square, its mean direction first.

    The squares' means come first, channel by channel, then the rest of each square.
    """

    size: int
    scale: int

    def image(self, spectrum: Tensor) -> Tensor:
        area, low = self.scale**2, self.size // self.scale
        _, _, right = torch.svd(torch.full((1, area), 1 / area), some=False)
        means = spectrum[:, : 3 * low**2, None]
        rest = spectrum[:, 3 * low**2 :].reshape(-1, 3 * low**2, area - 1)
        patches = torch.cat([means, rest], dim=2) @ right.T
        squares = patches.reshape(-1, 3, low, low, self.scale, self.scale)
        return squares.transpose(3, 4).reshape(-1, 3, self.size, self.size)


@dataclass(frozen=True)
class SeparableBasis:
    """The basis of bicubic downsampling: `right` [H, H] along both axes, h vectors measured.

    Coefficient (i, j) belongs to vectors i and j. First come those with both measured, row by
    row, then the rest of those rows, then the other rows; the three channels side by side.
    """

    right: Tensor
    measured: int

    @classmethod
    def recorded(cls, size: int, scale: int, singular: Tensor) -> "SeparableBasis":
        """Return the basis whose singular values equal the recorded ones bit by bit.

        Raises:
            BenchError: no code path of this machine's LAPACK gives them.
        """
        low = size // scale
        for instructions in INSTRUCTIONS:
            values, right = _one_axis(size, low, instructions)
            products = (values[:, None] * values[None]).flatten().repeat_interleave(3)
            if torch.equal(products, singular):
                return cls(right, low)
        raise BenchError(
            "The draws were recorded in a singular basis that this machine's LAPACK does not "
            "return: run the comparison on an x86 processor, with torch as it is on PyPI."
        )

    def image(self, spectrum: Tensor) -> Tensor:
        size = len(self.right)
        position = torch.arange(size * size).reshape(size, size)
        top = position[: self.measured]
        parts = (top[:, : self.measured], top[:, self.measured :], position[self.measured :])
        order = torch.cat([part.flatten() for part in parts])
        grid = torch.empty(len(spectrum), size * size, 3)
        grid[:, order] = spectrum.reshape(-1, size * size, 3)
        coefficients = grid.transpose(1, 2).reshape(-1, 3, size, size)
        return self.right @ coefficients @ self.right.T


@lru_cache
def _one_axis(size: int, low: int, instructions: str) -> tuple[Tensor, Tensor]:
    """Return singular values [h] and right vectors [H, H] of the bicubic matrix, in float32.

    MKL settles its code path when it is first used, so that another takes a new process.
    """
    matrix = resize_matrix(size, low).astype(np.float32)
    if not instructions:
        _, values, right = torch.svd(torch.from_numpy(matrix), some=False)
        return values, right
    given = io.BytesIO()
    np.save(given, matrix)
    environment = os.environ | {"MKL_ENABLE_INSTRUCTIONS": instructions}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, input=given.getvalue(), env=environment, capture_output=True, check=True
    )
    with np.load(io.BytesIO(done.stdout)) as arrays:
        return torch.from_numpy(arrays["values"]), torch.from_numpy(arrays["right"])
