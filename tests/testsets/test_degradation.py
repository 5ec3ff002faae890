"""Eq. 19: against SciPy on the same parameters, in torch, at its limits, and free of order."""

import io
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage

from bench.images import Pixels, read_image, to_model, to_pixels
from bench.testsets.degradation import (
    RANGES,
    Parameters,
    degrade,
    draw_parameters,
    gaussian_blur,
    interpolation,
    to_levels,
)
from bench.testsets.degradation_batch import degrade_batch, draw_batch

SAMPLE = sorted((Path(__file__).parents[2] / "datasets" / "sample" / "images").glob("*.png"))
Values = npt.NDArray[np.float64]
Step = Callable[[Values, Parameters, int], Values]


def drawn(name: str, count: int, seed: int = 0) -> list[Parameters]:
    generator = np.random.default_rng(seed)
    return [draw_parameters(RANGES[name], generator, RANGES[name].size) for _ in range(count)]


# An implementation of its own: SciPy's convolution with a kernel of two axes, and its interpolation
# at coordinates; each step a function, so that they can be put in another order.


def blur(x: Values, p: Parameters, size: int) -> Values:
    axis = np.arange(p.s) - (p.s - 1) / 2
    kernel = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * p.sigma**2))
    kernel /= kernel.sum()
    return np.stack([ndimage.convolve(c, kernel, mode="mirror") for c in np.moveaxis(x, 2, 0)], 2)


def resized(x: Values, target: int) -> Values:
    at = (np.arange(target) + 0.5) * len(x) / target - 0.5
    grid = np.meshgrid(at, at, indexing="ij")
    channels = [
        ndimage.map_coordinates(c, grid, order=1, mode="nearest") for c in x.transpose(2, 0, 1)
    ]
    return np.stack(channels, 2)


def down(x: Values, p: Parameters, size: int) -> Values:
    return resized(x, int(size / p.r))


def noise(x: Values, p: Parameters, size: int) -> Values:
    stream = np.random.Generator(np.random.Philox(key=p.noise))
    return np.clip(x + stream.standard_normal(x.shape) * p.delta, 0, 255)


def compressed(x: Values, p: Parameters, size: int) -> Values:
    file = io.BytesIO()
    Image.fromarray(np.rint(np.clip(x, 0, 255)).astype(np.uint8)).save(file, "JPEG", quality=p.q)
    return np.asarray(Image.open(file)).astype(float)


def up(x: Values, p: Parameters, size: int) -> Values:
    return resized(x, size)


RELEASED = (blur, down, noise, compressed, up)


def by_scipy(hr: Pixels, p: Parameters, steps: tuple[Step, ...] = RELEASED) -> Pixels:
    x = hr.astype(float)
    for step in steps:
        x = step(x, p, len(hr))
    return np.rint(np.clip(x, 0, 255)).astype(np.uint8)


def gap(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# r, s, sigma, delta, q, as they are published: in CodeFormer's configuration for training under
# large degradation, and in the DPI paper's severe setting.
PUBLISHED = {
    "blind": ((4, 30), (41, 41), (1, 15), (0, 20), (30, 80)),
    "severe": ((8, 16), (1, 17), (3, 20), (30, 90), (40, 50)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_drawn_fills_the_published_ranges(name: str) -> None:
    columns = zip(*(astuple(p)[:5] for p in drawn(name, 1000)), strict=True)
    for values, (least, greatest) in zip(columns, PUBLISHED[name], strict=True):
        # A thousand draws leave out a fiftieth at either end once in 10^8 times.
        near = (greatest - least) / 50
        assert least <= min(values) <= least + near
        assert greatest - near <= max(values) <= greatest


@pytest.mark.parametrize("name", ["blind", "severe"])
def test_a_sample_picture_comes_out_as_by_scipy(name: str) -> None:
    for path, parameters in zip(SAMPLE[:8], drawn(name, 8), strict=True):
        hr = read_image(path)
        # Both compute in float64: only a value within 1e-6 of halfway can be rounded apart.
        assert gap(degrade(hr, parameters), by_scipy(hr, parameters)) <= 1


@pytest.mark.parametrize("first", range(3))
def test_the_order_of_the_steps_is_the_released_one(first: int) -> None:
    """With two neighbouring steps exchanged the picture is another, so the test above has teeth."""
    steps = list(RELEASED)
    steps[first], steps[first + 1] = steps[first + 1], steps[first]
    hr = read_image(SAMPLE[0])
    for name in RANGES:
        (parameters,) = drawn(name, 1)
        assert gap(degrade(hr, parameters), by_scipy(hr, parameters, tuple(steps))) > 3


@pytest.mark.parametrize("name", ["blind", "severe"])
def test_torch_agrees_within_a_level(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [read_image(path) for path in SAMPLE[:6]]
    parameters = drawn(name, len(pictures))
    ours = [degrade(hr, p) for hr, p in zip(pictures, parameters, strict=True)]
    batch = degrade_batch(to_model(pictures), parameters)
    assert batch.shape == (6, 3, 256, 256)
    levels = (batch + 1) * 127.5
    # 8 bits of float32 in [-1, 1] come back to whole levels within the rounding of one product.
    torch.testing.assert_close(levels, levels.round(), atol=2e-5, rtol=0)
    differing = [gap(a, b) for a, b in zip(ours, to_pixels(batch), strict=True)]
    # JPEG turns a level that was rounded the other way into several; it happens rarely.
    assert sum(g > 1 for g in differing) <= 1
    import bench.testsets.degradation as numpy_path
    import bench.testsets.degradation_batch as torch_path

    for module in (numpy_path, torch_path):
        monkeypatch.setattr(module, "jpeg", lambda pixels, quality: pixels)
    ours = [degrade(hr, p) for hr, p in zip(pictures, parameters, strict=True)]
    batch = degrade_batch(to_model(pictures), parameters)
    assert max(gap(a, b) for a, b in zip(ours, to_pixels(batch), strict=True)) <= 1


def test_an_image_of_a_batch_does_not_depend_on_the_others() -> None:
    pictures = to_model([read_image(path) for path in SAMPLE[:3]])
    parameters = draw_batch(RANGES["blind"], 3, torch.Generator().manual_seed(1), 256)
    alone = degrade_batch(pictures[1:2], parameters[1:2])
    torch.testing.assert_close(degrade_batch(pictures, parameters)[1:2], alone, atol=0, rtol=0)
    again = draw_batch(RANGES["blind"], 3, torch.Generator().manual_seed(1), 256)
    assert again == parameters
    assert draw_batch(RANGES["blind"], 3, torch.Generator().manual_seed(2), 256) != parameters


@pytest.mark.parametrize("name", ["blind", "severe"])
def test_parameters_fill_their_ranges_and_stay_in_them(name: str) -> None:
    ranges, many = RANGES[name], drawn(name, 2000)
    for field in ("r", "s", "sigma", "delta", "q"):
        low, high = getattr(ranges, field)
        values = [getattr(p, field) for p in many]
        assert low <= min(values) <= low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) <= max(values) <= high
    assert {p.s for p in many} == set(range(ranges.s[0], ranges.s[1] + 1, 2))  # odd ones alone
    assert {p.q for p in many} == set(range(ranges.q[0], ranges.q[1] + 1))
    assert len({p.noise for p in many}) == len(many)


@pytest.mark.parametrize(("name", "size"), [("blind", 64), ("blind", 256), ("severe", 64)])
def test_what_is_in_pixels_scales_with_the_size(name: str, size: int) -> None:
    """A face of `size` px is spoilt as a face of the ranges' size is before it is reduced."""
    whole, ratio = drawn(name, 500), size / RANGES[name].size
    generator = np.random.default_rng(0)
    scaled = [draw_parameters(RANGES[name], generator, size) for _ in whole]
    for one, other in zip(whole, scaled, strict=True):
        assert other.sigma == pytest.approx(ratio * one.sigma)
        assert other.r == pytest.approx(max(1, ratio * one.r))
        assert other.s % 2 == 1
        assert abs(other.s - ratio * one.s) <= 1  # the next odd number
        assert (other.delta, other.q, other.noise) == (one.delta, one.q, one.noise)
        # The same pixels are left, unless there were more than `size`.
        left = min(size, one.reduced(RANGES[name].size))
        assert abs(other.reduced(size) - left) <= 1
    assert min(p.reduced(size) for p in scaled) >= 16


def test_each_parameter_matters() -> None:
    hr = read_image(SAMPLE[0])
    p = Parameters(r=6.0, s=9, sigma=2.0, delta=10.0, q=60, noise=3)
    before = degrade(hr, p)
    for change in ({"r": 9.0}, {"s": 3}, {"sigma": 3.0}, {"delta": 5.0}, {"q": 35}, {"noise": 4}):
        assert gap(degrade(hr, replace(p, **change)), before) > 3, change


def test_without_blur_reduction_and_noise_only_jpeg_is_left() -> None:
    hr = read_image(SAMPLE[1])
    p = Parameters(r=1.0, s=1, sigma=3.0, delta=0.0, q=50, noise=0)
    np.testing.assert_array_equal(degrade(hr, p), compressed(hr.astype(float), p, 256))


@pytest.mark.parametrize("size", [1, 2, 8, 16])
def test_a_kernel_larger_than_the_picture_and_a_single_pixel_left(size: int) -> None:
    hr = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    p = Parameters(r=30.0, s=41, sigma=15.0, delta=20.0, q=30, noise=1)
    assert degrade(hr, p).shape == (size, size, 3)
    rows = gaussian_blur(size, 41, 15.0).sum(axis=1)
    np.testing.assert_allclose(rows, 1, atol=1e-12)  # sums of 41 float64 weights


def test_interpolation_keeps_a_ramp_and_the_size_itself() -> None:
    ramp = np.arange(12.0)
    inside = (interpolation(12, 24) @ ramp)[1:-1]
    np.testing.assert_allclose(np.diff(inside), 0.5, atol=1e-12)
    np.testing.assert_array_equal(interpolation(7, 7), np.eye(7))


def test_halves_go_up_and_values_are_clipped() -> None:
    values = np.array([-3.0, 0.5, 1.5, 2.5 - 1e-9, 2.499, 254.6, 300.0])
    assert to_levels(values).tolist() == [0, 1, 2, 3, 2, 255, 255]
