"""Nearest-neighbour doubling fused with the following 3 x 3 convolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def doubled(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Apply `convolution` to x doubled by nearest neighbours: [B, C, H, W] to [B, C', 2H, 2W].

    A pixel that stands four times is multiplied once: under any 3 x 3 window of the doubled image
    lie only 2 x 2 pixels of x. So this is a transposed convolution whose 4 x 4 weights are sums of
    the given ones, with 16 products for a pixel of x in place of 36. The convolution is padded by
    one and has a stride of one.
    """
    weight = convolution.weight
    one = torch.eye(3, dtype=weight.dtype, device=weight.device)
    # Along an axis the weights a, b, c become c, b + c, a + b, a.
    sums = (F.pad(one, (0, 0, 0, 1)) + F.pad(one, (0, 0, 1, 0))).flip(1)
    wide = (weight.flatten(2) @ torch.kron(sums, sums).T).view(*weight.shape[:2], 4, 4)
    return F.conv_transpose2d(x, wide.transpose(0, 1), convolution.bias, stride=2, padding=1)
