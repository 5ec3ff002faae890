"""Linear operators: the laws of a pseudo-inverse and an adjoint, and agreement with Pillow."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.diffusion.operators import (
    SeparableOperator,
    average_pooling,
    bicubic,
    bicubic_up,
    resize_matrix,
)
from bench.images import resize_bicubic_batch

SIZES = st.sampled_from([(16, 4), (16, 8), (32, 4), (32, 16), (64, 16)])
KINDS = st.sampled_from([bicubic, average_pooling])


def images(size: int, seed: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def assert_near(a: torch.Tensor, b: torch.Tensor) -> None:
    # float32 products over at most 64 pixels per axis
    torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


@given(kind=KINDS, shape=SIZES, seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_laws(
    kind: Callable[[int, int], SeparableOperator], shape: tuple[int, int], seed: int
) -> None:
    size, scale = shape
    operator = kind(size, scale)
    x, y = images(size, seed), images(size // scale, seed + 1)
    assert_near(operator(operator.pseudo_inverse(y)), y)
    assert_near(operator(operator.pseudo_inverse(operator(x))), operator(x))
    projected = operator.pseudo_inverse(operator(x))
    again = operator.pseudo_inverse(operator(projected))
    assert_near(again, projected)
    left, right = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-4)  # sums of up to 1,500 products


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_bicubic_equals_pillow_away_from_the_border(scale: int) -> None:
    size = 128
    # Far from black and white, where Pillow would clip the kernel's overshoot.
    x = ((0.15 * images(size, 0) + 1) * 127.5).round() / 127.5 - 1
    ours, pillow = bicubic(size, scale)(x), resize_bicubic_batch(x, size // scale)
    inner = slice(2, -2)
    rounding = 0.51 / 127.5  # Pillow rounds to 8 bits, after each of its two passes
    difference = (ours - pillow)[..., inner, inner].abs().max()
    assert difference < 2 * rounding


def test_constant_images_stay_constant() -> None:
    ones = torch.ones(1, 3, 32, 32)
    for operator in (bicubic(32, 8), average_pooling(32, 8)):
        torch.testing.assert_close(operator(ones), torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(bicubic_up(32, 8)(ones[..., :4, :4]), ones)


def test_rows_are_normalised_where_the_kernel_does_not_sum_up_by_itself() -> None:
    rows = resize_matrix(10, 7).sum(axis=1)  # at whole scales it does
    np.testing.assert_allclose(rows, 1, atol=1e-12)  # float64


def test_the_border_is_mirrored() -> None:
    # A mirrored image has no slope at its border, so that reducing commutes with mirroring.
    matrix = resize_matrix(32, 8)
    doubled = resize_matrix(64, 16)
    ramp = np.arange(32.0)
    mirrored = np.concatenate([ramp[::-1], ramp])
    np.testing.assert_allclose((doubled @ mirrored)[8:], matrix @ ramp, atol=1e-12)


def test_singular_values_are_those_of_the_whole_matrix() -> None:
    operator = bicubic(16, 4)
    whole = torch.kron(operator.matrix, operator.matrix).double()
    found = operator.svd().singular.flatten().sort(descending=True).values
    torch.testing.assert_close(found.double(), torch.linalg.svdvals(whole), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("scale", "smallest"), [(4, 0.35), (8, 0.25), (16, 0.18)])
def test_smallest_singular_values_at_256(scale: int, smallest: float) -> None:
    # The references' figures are rounded to two places.
    one_axis = torch.linalg.svdvals(bicubic(256, scale).matrix.double())
    assert float(one_axis.min()) == pytest.approx(smallest, abs=0.006)
