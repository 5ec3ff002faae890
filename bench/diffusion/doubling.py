"""Nearest-neighbour doubling fused with the following 3 x 3 convolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def doubled(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Apply `convolution` to x doubled by nearest neighbours: [B, C, H, W] to [B, C', 2H, 2W].

    A 3 x 3 window of the doubled image covers only 2 x 2 pixels of x, so this is a transposed
    convolution with 4 x 4 weights, each a sum of the given ones: 16 products per pixel of x in
    place of 36. `convolution` must have padding 1 and stride 1.
    """
    weight = convolution.weight
    one = torch.eye(3, dtype=weight.dtype, device=weight.device)
    # Along an axis the weights a, b, c become c, b + c, a + b, a.
    sums = (F.pad(one, (0, 0, 0, 1)) + F.pad(one, (0, 0, 1, 0))).flip(1)
    wide = (weight.flatten(2) @ torch.kron(sums, sums).T).view(*weight.shape[:2], 4, 4)
    return F.conv_transpose2d(x, wide.transpose(0, 1), convolution.bias, stride=2, padding=1)
