"""Odd sets (one image, equal images, mixed sizes, fewer than a batch): a value or a reason."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from bench.images import Pixels, read_image, resize_bicubic
from bench.metrics import find, find_measure
from bench.metrics.base import SetMetric
from bench.metrics.features.backbones import backbone_path
from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.features.vgg import VGG16
from bench.metrics.perceptual import Lpips

SAMPLE = sorted((Path(__file__).parents[2] / "datasets" / "sample" / "images").glob("*.png"))

needs_backbones = pytest.mark.skipif(
    not backbone_path("vgg16").is_file(), reason="LPIPS's backbones are not here"
)


def faces(count: int, size: int = 64) -> list[Pixels]:
    """Return that many different faces, mirrored ones too."""
    whole = [resize_bicubic(read_image(path), size) for path in SAMPLE]
    return [*whole, *(np.ascontiguousarray(face[:, ::-1]) for face in whole)][:count]


def table(folder: Path, pictures: list[Pixels]) -> FeatureTable:
    cache = FeatureCache(folder)
    names = tuple(str(place) for place in range(len(pictures)))
    for name, features in zip(names, VGG16.extract(pictures), strict=True):
        cache.write(VGG16.identity, name, features)
    return FeatureTable(cache, VGG16.identity, names)


ODD: dict[str, tuple[list[Pixels], list[Pixels]]] = {
    "one image": (faces(1), faces(2)[1:]),
    "two images": (faces(2), faces(4)[2:]),
    "equal images": ([faces(1)[0]] * 3, faces(3)),
    "equal sets": (faces(3), faces(3)),
    "equal originals": (faces(3), [faces(1)[0]] * 3),
    "all equal": ([faces(1)[0]] * 3, [faces(1)[0]] * 3),
    "mixed sizes": ([*faces(2), *faces(2, 48)], [*faces(2), *faces(2, 48)]),
    "flat colours": ([np.full((64, 64, 3), v, np.uint8) for v in (0, 128, 255)], faces(3)),
}


@needs_backbones
@pytest.mark.parametrize("name", ["fd-vgg16", "kd-vgg16"])
@pytest.mark.parametrize("odd", ODD)
def test_a_distance_of_an_odd_set_is_a_number_or_a_reason(
    name: str, odd: str, tmp_path: Path
) -> None:
    metric = find_measure(name)
    assert isinstance(metric, SetMetric)
    sr, hr = (table(tmp_path / side, some) for side, some in zip("ab", ODD[odd], strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metric.measure(sr, hr)
    if odd == "one image":
        assert value == f"{metric.title} needs at least 2 images, but there are 1."
    else:
        assert isinstance(value, float)
        assert math.isfinite(value)
    if odd in {"equal sets", "all equal", "mixed sizes"} and name == "fd-vgg16":
        assert value == pytest.approx(0, abs=1e-6)


@needs_backbones
@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_scores_do_not_depend_on_the_batch(
    name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise is 1e-5; measured on a CPU in float32: below 1e-6."""
    metric = find(name)
    assert isinstance(metric, Lpips)
    hr = faces(64)
    sr = hr[::-1]
    alone = [metric.score([a], [b])[0] for a, b in zip(sr[:4], hr[:4], strict=True)]
    monkeypatch.setattr("bench.metrics.perceptual._BATCH_PIXELS", batch * 64 * 64)
    assert metric.score(sr, hr)[:4] == pytest.approx(alone, abs=1e-5)


@needs_backbones
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_features_do_not_depend_on_the_batch(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = faces(64)
    alone = [VGG16.extract([picture])[0]["pooled"] for picture in pictures[:4]]
    monkeypatch.setattr("bench.metrics.features.vgg._BATCH_PIXELS", batch * 64 * 64)
    together = VGG16.extract(pictures)
    for expected, found in zip(alone, together[:4], strict=True):
        np.testing.assert_allclose(found["pooled"], expected, rtol=1e-4, atol=1e-5)
