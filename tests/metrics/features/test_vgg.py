"""VGG16's features: against torchvision's network, and alone as in company."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.images import read_image, resize_bicubic
from bench.metrics.features.backbones import backbone_path, load_backbone
from bench.metrics.features.vgg import VGG16
from bench.networks.torchvision_guard import import_torchvision

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "images"

pytestmark = pytest.mark.skipif(
    not backbone_path("vgg16").is_file(), reason="LPIPS's VGG16 is missing"
)


def test_features_are_torchvisions() -> None:
    import_torchvision()
    models: Any = importlib.import_module("torchvision.models")
    network = models.vgg16(weights=None).features[:30].eval()  # up to relu5_3
    state = {
        k.removeprefix("features."): torch.from_numpy(v) for k, v in load_backbone("vgg16").items()
    }
    network.load_state_dict(state)
    for path in sorted(SAMPLE.glob("*.png"))[:3]:
        pixels = resize_bicubic(read_image(path), 64)
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        normal = (pixels / 255 - mean) / std
        with torch.inference_mode():
            expected = network(torch.tensor(normal.transpose(2, 0, 1)[None]).float()).mean((2, 3))
        found = VGG16.extract([pixels])[0]["pooled"]
        # Single precision through 13 convolutions, summed in another order.
        np.testing.assert_allclose(found, expected[0], rtol=1e-4, atol=1e-5)


def test_features_depend_on_no_company() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (s, s, 3), dtype=np.uint8) for s in (64, 48, 64)]
    together = VGG16.extract(pictures)
    for pixels, found in zip(pictures, together, strict=True):
        alone = VGG16.extract([pixels])[0]["pooled"]
        np.testing.assert_allclose(found["pooled"], alone, rtol=1e-4, atol=1e-5)


def test_small_images_are_refused() -> None:
    with pytest.raises(BenchError, match="at least 16 px each way, but one is 8x16"):
        VGG16.extract([np.zeros((16, 8, 3), np.uint8)])
