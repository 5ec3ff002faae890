"""Doubling and convolving in one: what the two one after the other give."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.diffusion.doubling import doubled


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_convolution_of_the_doubled_image(order: torch.memory_format) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, 4, generator=random).contiguous(memory_format=order).requires_grad_()
    convolution = nn.Conv2d(5, 7, 3, padding=1)
    nn.init.normal_(convolution.weight, generator=random)
    direct = convolution(F.interpolate(x, scale_factor=2, mode="nearest"))
    weights = torch.randn(direct.shape, generator=random)
    inputs = (x, *convolution.parameters())
    expected = torch.autograd.grad((weights * direct).sum(), inputs)
    ours = doubled(x, convolution)
    torch.testing.assert_close(ours, direct, rtol=1e-5, atol=1e-5)  # another order of sums
    found = torch.autograd.grad((weights * ours).sum(), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)  # sums over 192 places
