"""Input ranges of metrics' packages, equal to the last bit to what each makes of the same file.

A threshold inside a metric turns a difference of 6e-8 in its input into 4e-4 in its value (PIQE).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from bench.images import Pixels

_BYTES = np.arange(256)

UNIT = _BYTES.astype(np.float32) / np.float32(255)
"""[0, 1], divided in float32: torchvision's to_tensor, which pyiqa reads files with."""

SIGNED = (_BYTES / 127.5 - 1).astype(np.float32)
"""[-1, 1], computed in float64: lpips.im2tensor."""

TO_509 = (_BYTES * 2 - 1).astype(np.float32)
"""[-1, 509]: what the released scripts of DPI feed to LPIPS."""


def batch(pictures: "Sequence[Pixels]", levels: npt.NDArray[np.float32]) -> "Tensor":
    """Return images [H, W, 3] of one size as [B, 3, H, W], each byte replaced by its level."""
    import torch

    return torch.from_numpy(levels[np.stack(pictures)]).permute(0, 3, 1, 2)
