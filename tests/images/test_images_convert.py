"""Pictures: the one conversion each way, and resizing."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench.images import resize_bicubic, resize_bicubic_batch, to_model, to_pixels
from tests.small import picture

ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


def test_the_round_trip_to_the_models_range_is_exact_for_every_value() -> None:
    batch = to_model([ALL_VALUES, ALL_VALUES[::-1]])
    assert batch.dtype == torch.float32
    assert batch.shape == (2, 3, 16, 16)
    assert (batch.min().item(), batch.max().item()) == (-1, 1)
    first, second = to_pixels(batch)
    np.testing.assert_array_equal(first, ALL_VALUES)
    np.testing.assert_array_equal(second, ALL_VALUES[::-1])


def test_channels_and_rows_keep_their_places() -> None:
    pixels = picture(3, 4, width=6)
    batch = to_model([pixels])
    assert batch[0, 2, 1, 5] == torch.tensor(float(pixels[1, 5, 2])) / 127.5 - 1
    np.testing.assert_array_equal(to_pixels(batch)[0], pixels)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(99.6, 100), (100.4, 100), (254.6, 255), (0.4, 0), (-300.0, 0), (600.0, 255)],
)
def test_pixels_are_rounded_and_clipped(level: float, expected: int) -> None:
    image = torch.full((1, 3, 2, 2), level / 127.5 - 1)
    assert (to_pixels(image)[0] == expected).all()


def test_resizing_is_pillows_antialiased_bicubic_filter() -> None:
    pixels = picture(4, 32)
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize_bicubic(pixels, 8), np.asarray(expected))
    checkers = np.indices((32, 32)).sum(0, keepdims=True).transpose(1, 2, 0) % 2 * 255
    small = resize_bicubic(checkers.repeat(3, axis=2).astype(np.uint8), 8)
    # Without antialiasing the samples would fall on black or white squares alone.
    assert abs(small.astype(int) - 127).max() < 30


@pytest.mark.parametrize("size", [4, 24])
def test_resizing_a_batch_is_resizing_each_image(size: int) -> None:
    pictures = [picture(seed, 8) for seed in range(3)]
    resized = to_pixels(resize_bicubic_batch(to_model(pictures), size))
    for one, original in zip(resized, pictures, strict=True):
        np.testing.assert_array_equal(one, resize_bicubic(original, size))
