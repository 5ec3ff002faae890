"""Condition masks of DPI: where the condition is imposed (the paper's Eq. 10 to 14).

Masks are [B or 1, 1, H, W] of zeros and ones, shared by the colour channels.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

_GREY = (0.2989, 0.587, 0.114)  # Rec. 601, rounded as the released code has it


def fixed_mask(size: int, k: int) -> Tensor:
    """Return m_f of Eq. 10 [1, 1, size, size]: 1 at every k-th row and column, from the first."""
    mask = torch.zeros(1, 1, size, size)
    mask[..., ::k, ::k] = 1.0
    return mask


@lru_cache(maxsize=16)
def fixed_mask_on(device: torch.device, dtype: torch.dtype, size: int, k: int) -> Tensor:
    """Return a cached, read-only `fixed_mask` on a device, because a copy stalls a GPU."""
    return fixed_mask(size, k).to(device, dtype)


def on_grid(values: Tensor, k: int) -> Tensor:
    """Spread values [B, C, h, w] over the grid: [B, C, k h, k w], zero elsewhere (Eq. 11, 14)."""
    batch, channels, height, width = values.shape
    spread = values.new_zeros(batch, channels, k * height, k * width)
    spread[..., ::k, ::k] = values
    return spread


def edge_probability(y: Tensor, k: int, s: float) -> Tensor:
    """Return the probability map of Eq. 12 to 14 [B, 1, H / k, W / k].

    The Laplacian of each image's condition is stretched to [0, 1] by its own extremes and raised
    to `s`. A condition without any edge has probability zero everywhere: it asks for no detail.
    """
    edges = _laplacian(y[..., ::k, ::k])
    low, high = edges.amin((1, 2, 3), keepdim=True), edges.amax((1, 2, 3), keepdim=True)
    return _stretch(edges, low, high) ** s


def released_edge_probability(y: Tensor, k: int, s: float) -> Tensor:
    """Return the released code's map: |Laplacian|, normalised by the batch's extremes.

    An image's mask then depends on its batch mates; kept for parity with recorded behaviour only.
    """
    edges = _laplacian(y[..., ::k, ::k]).abs()
    return _stretch(edges, edges.amin(), edges.amax()) ** s


def _laplacian(y: Tensor) -> Tensor:
    """Return the Laplacian of the grey image, border reflected: [B, 3, h, w] to [B, 1, h, w]."""
    weights, kernel = _constants(y.device, y.dtype)
    grey = (y * weights).sum(1, keepdim=True)
    return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="reflect"), kernel)


@lru_cache(maxsize=16)
def _constants(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return grey weights [1, 3, 1, 1] and the Laplacian kernel [1, 1, 3, 3]."""
    weights = torch.tensor(_GREY, dtype=dtype)[None, :, None, None]
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=dtype)
    return weights.to(device), kernel[None, None].to(device)


def _stretch(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (values - low) / (high - low).clamp_min(1e-30)  # a constant image: 0 / 1e-30 = 0
