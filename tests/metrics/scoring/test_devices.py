"""Scoring on devices: nothing stays on the CPU, batches halve, and values are the CPU's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.images import Pixels
from bench.metrics import find, find_measure, quality
from bench.metrics.base import Metric
from bench.metrics.features import inception
from bench.metrics.features.backbones import backbone_path
from bench.metrics.features.cache import FeatureCache
from bench.metrics.features.extractor import Extractor
from bench.metrics.features.vgg import VGG16
from bench.metrics.scoring.compute import Picture, Task, halved, score_tasks
from bench.metrics.scoring.devices import exact_float32, find_devices, score_on
from tests.random_inception import random_inception
from tests.small import photos

GPUS = ["cuda:0", "cuda:1"]

LPIPS_THERE = pytest.mark.skipif(
    not (backbone_path("alexnet").is_file() and backbone_path("vgg16").is_file()),
    reason="the LPIPS backbones are not here: `bench weights get lpips`",
)


def pictures(count: int, size: int = 64, seed: int = 0) -> list[Pixels]:
    random = np.random.default_rng(seed)
    return list(random.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [
        (0, "auto", ["cpu"]),
        (2, "auto", GPUS),
        (2, "cuda", GPUS),
        (2, "cuda:1", ["cuda:1"]),
        (2, "cpu", ["cpu"]),
    ],
)
def test_devices_by_name(
    gpus: int, asked: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert list(find_devices(asked)) == found


@pytest.mark.parametrize("asked", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "meta"])
def test_a_name_that_is_no_device_is_refused(asked: str) -> None:
    with pytest.raises(WrongUsage, match="give auto, cpu, cuda or cuda:N"):
        find_devices(asked)


@pytest.mark.parametrize("asked", ["cuda", "cuda:2"])
def test_an_absent_gpu_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BenchError, match=r"found: none"):
        find_devices(asked)


def left_device(compute: Callable[[], Any]) -> None:
    """Assert that a computation on "meta" reached the copy to the CPU, and failed nowhere before.

    An operation on tensors of two devices fails with another error.
    """
    with pytest.raises((NotImplementedError, RuntimeError), match=r"meta tensor") as failed:
        compute()
    assert "expected device" not in str(failed.value)


@LPIPS_THERE
@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_lpips_leaves_nothing_on_the_cpu(name: str) -> None:
    one, other = pictures(3), pictures(3, seed=1)
    left_device(lambda: find(name).on("meta").score(one, other))


@LPIPS_THERE
def test_vgg_leaves_nothing_on_the_cpu() -> None:
    left_device(lambda: VGG16.extract(pictures(3), "meta"))


def test_pyiqa_leaves_nothing_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(metric: object, device: str) -> Any:
        weight = torch.ones(3, 1, 1, device=device)
        return lambda images: (images * weight).mean((1, 2, 3))

    monkeypatch.setattr(quality, "_network", network)
    monkeypatch.setattr(quality.Quality, "unavailable", lambda self: None)
    left_device(lambda: find("musiq").on("meta").score(*[pictures(2)] * 2))


@pytest.fixture
def legacy_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights of Inception in place of the released ones."""
    pytest.importorskip("torch_fidelity")
    random_inception(tmp_path / "inception.pth")
    monkeypatch.setattr(inception, "checkpoint_path", lambda name: tmp_path / "inception.pth")
    monkeypatch.setattr("bench.metrics.features.extractor.checkpoint_missing", lambda name: None)
    for loaded in (inception._legacy_network, inception._pytorch_fid_network):
        loaded.cache_clear()


@pytest.mark.parametrize("extractor", [inception.LEGACY, inception.PYTORCH_FID])
def test_inception_leaves_nothing_on_the_cpu(extractor: Extractor, legacy_weights: None) -> None:
    left_device(lambda: extractor.extract(pictures(2), "meta"))


def test_a_batch_without_memory_is_halved() -> None:
    sizes = []

    def double(items: list[int]) -> list[int]:
        sizes.append(len(items))
        if len(items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [2 * item for item in items]

    assert halved(double, list(range(10))) == [2 * item for item in range(10)]
    assert sizes == [10, 5, 2, 3, 5, 2, 3]


def test_one_image_without_memory_says_so() -> None:
    def fail(items: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(BenchError, match=r"Out of memory on one image.*--device cpu"):
        halved(fail, [1, 2])


def test_other_errors_are_not_taken_for_memory() -> None:
    def fail(items: list[int]) -> list[int]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        halved(fail, [1, 2])


class Noted(Metric):
    """Mean difference; notes the devices that it was computed on, and whether TF32 was on."""

    @property
    def identity(self) -> str:
        return "noted"

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        used.append((self.device, torch.backends.cudnn.allow_tf32))
        return [float(np.abs(a.astype(float) - b).mean()) for a, b in zip(sr, hr, strict=True)]


used: list[tuple[str, bool]] = []
NOTED = Noted("noted", "Noted", higher_is_better=False, unit="", digits=2, place=0)


@pytest.fixture
def chunks(tmp_path: Path) -> list[list[Task]]:
    photos(tmp_path / "pictures", 25)
    files = sorted((tmp_path / "pictures").iterdir())
    known = [Picture(path, sha256_file(path)) for path in files]
    measures = (find_measure("psnr"), NOTED)
    tasks = [Task(p.path.stem, m, m.key, p, known[0]) for p in known[1:] for m in measures]
    return [tasks[start : start + 6] for start in range(0, len(tasks), 6)]


def test_several_devices_give_the_values_of_one_in_order(
    chunks: list[list[Task]], tmp_path: Path
) -> None:
    used.clear()
    features = FeatureCache(tmp_path / "features")
    assert list(score_on(["one", "two"], chunks, features)) == [
        score_tasks(chunk, features) for chunk in chunks
    ]
    assert set(used[: len(chunks)]) <= {("one", False), ("two", False)}
    assert {device for device, _ in used[len(chunks) :]} == {"cpu"}


def test_a_broken_file_ends_scoring_with_its_name(chunks: list[list[Task]], tmp_path: Path) -> None:
    broken = chunks[2][0].sr.path
    broken.write_bytes(b"no picture")
    with pytest.raises(BenchError, match=broken.name):
        list(score_on(["one"], chunks, FeatureCache(tmp_path / "features")))


def test_tf32_is_off_only_meanwhile() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with exact_float32():
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.gpu
@LPIPS_THERE
@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_a_gpu_agrees_with_the_cpu(name: str) -> None:
    """Relative 1e-4: float32 sums in another order, over up to 16 layers."""
    one, other = pictures(9, 256), pictures(9, 256, seed=1)
    with exact_float32():
        found = find(name).on("cuda:0").score(one, other)
    np.testing.assert_allclose(found, find(name).score(one, other), rtol=1e-4)


@pytest.mark.gpu
@LPIPS_THERE
def test_features_of_a_gpu_agree_with_the_cpus() -> None:
    """Relative to the largest, as features near zero have no digits to agree in."""
    seen = pictures(9, 256)
    with exact_float32():
        found = np.stack([f["pooled"] for f in VGG16.extract(seen, "cuda:0")])
    expected = np.stack([f["pooled"] for f in VGG16.extract(seen)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())
