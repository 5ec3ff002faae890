"""Input ranges of metric packages, bit-identical to their own loaders.

A threshold inside a metric turns a difference of 6e-8 in its input into 4e-4 in its value (PIQE).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.images import Pixels

if TYPE_CHECKING:
    from torch import Tensor

_BYTES = np.arange(256)

UNIT = _BYTES.astype(np.float32) / np.float32(255)
"""[0, 1], divided in float32: torchvision's to_tensor, which pyiqa reads files with."""

SIGNED = (_BYTES / 127.5 - 1).astype(np.float32)
"""[-1, 1], computed in float64: lpips.im2tensor."""

TO_509 = (_BYTES * 2 - 1).astype(np.float32)
"""[-1, 509]: input of LPIPS in DPI's released scripts."""


def batch(
    pictures: Sequence[Pixels], levels: npt.NDArray[np.float32], device: str = "cpu"
) -> "Tensor":
    """Return images [H, W, 3] of one size as [B, 3, H, W], each byte replaced by its level."""
    import torch

    if device == "cpu":  # where numpy's lookup is faster
        return torch.from_numpy(levels[np.stack(pictures)]).permute(0, 3, 1, 2)
    table = torch.from_numpy(levels).to(device)
    return table[as_bytes(pictures, device).long()]


def as_bytes(pictures: Sequence[Pixels], device: str = "cpu") -> "Tensor":
    """Return images [H, W, 3] of one size as uint8 [B, 3, H, W] on a device."""
    import torch

    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    if device.startswith("cuda"):
        return stacked.pin_memory().to(device, non_blocking=True)
    return stacked.to(device)
