"""Blind degradations of batches in torch, for training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.testsets.degradation import (
    TIE,
    Parameters,
    Ranges,
    draw_parameters,
    jpeg,
    matrices,
    noise_of,
)


def draw_batch(
    ranges: Ranges, count: int, generator: torch.Generator, size: int
) -> list[Parameters]:
    """Draw parameters for a batch of images of this size."""
    device = generator.device
    keys = torch.randint(2**63 - 1, (count,), generator=generator, device=device).tolist()
    streams = (np.random.Generator(np.random.Philox(key=key)) for key in keys)
    return [draw_parameters(ranges, stream, size) for stream in streams]


def degrade_batch(x: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Apply Eq. 19 to images [B, 3, H, H] in [-1, 1], each with its own parameters.

    Results agree with `degradation.degrade` to one 8-bit level before JPEG, because this is float32
    and that is float64. JPEG is Pillow's, on the CPU. Results are in [-1, 1], quantised to 8
    bits like the images of a test set, and carry no gradient.
    """
    with torch.no_grad():
        return torch.stack([_degrade(x[i], p) for i, p in enumerate(parameters)])


def _degrade(x: Tensor, parameters: Parameters) -> Tensor:
    reduce, enlarge = (
        torch.from_numpy(matrix).to(x.device, torch.float32)
        for matrix in matrices(x.shape[-1], parameters)
    )
    levels = (x.float() + 1) * 127.5
    small = reduce @ levels @ reduce.T
    noise = torch.from_numpy(noise_of(parameters, small.shape[-1])).permute(2, 0, 1)
    noisy = _rounded(small + parameters.delta * noise.to(small))
    pixels = noisy.permute(1, 2, 0).to("cpu", torch.uint8).contiguous().numpy()
    compressed = torch.from_numpy(jpeg(pixels, parameters.q).copy()).permute(2, 0, 1)
    large = enlarge @ compressed.to(x.device, torch.float32) @ enlarge.T
    return (_rounded(large) / 127.5 - 1).to(x.dtype)


def _rounded(levels: Tensor) -> Tensor:
    return torch.floor(levels.clamp(0, 255) + 0.5 + TIE)
