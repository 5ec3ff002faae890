"""LPIPS against the `lpips` package's own forward pass, with stand-in and with real backbones."""

import importlib
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bench.core.errors import BenchError
from bench.images import Pixels, read_image, resize_bicubic
from bench.metrics import find, perceptual
from bench.metrics.base import batches
from bench.metrics.features.backbones import (
    BACKBONES,
    Tensors,
    backbone_path,
    digest,
    load_backbone,
)
from bench.metrics.perceptual import Lpips
from bench.metrics.protocol import Protocol
from bench.networks.torchvision_guard import import_torchvision

FACES = Path(__file__).parents[2].parent / "shared" / "data" / "celebahq256"
SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))

if importlib.util.find_spec("lpips") is None:
    pytest.skip("the package lpips isn't installed", allow_module_level=True)


def pictures(count: int, height: int = 64, width: int = 48, seed: int = 0) -> list[Pixels]:
    random = np.random.default_rng(seed)
    return list(random.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def metric_named(name: str) -> Lpips:
    metric = find(name)
    assert isinstance(metric, Lpips)
    return metric


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lpips]:
    """LPIPS-Alex whose backbone is random, so that it needs no download."""
    random = np.random.default_rng(1)
    tensors: Tensors = {}
    for layer, (out, into, side) in zip(BACKBONES["alexnet"].layers, SHAPES, strict=True):
        weight = random.standard_normal((out, into, side, side), dtype=np.float32)
        tensors[f"features.{layer}.weight"] = weight * np.float32((2 / (into * side**2)) ** 0.5)
        tensors[f"features.{layer}.bias"] = weight[:, 0, 0, 0] / np.float32(10)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    known = replace(BACKBONES["alexnet"], sha256=digest(tensors))
    monkeypatch.setitem(BACKBONES, "alexnet", known)
    save_file(tensors, backbone_path("alexnet"))
    perceptual._network.cache_clear()
    yield metric_named("lpips-alex")
    perceptual._network.cache_clear()


@pytest.fixture(params=["stand-in", "lpips-alex", "lpips-vgg"])
def metric(request: pytest.FixtureRequest) -> Lpips:
    """Each in turn; the real ones where their backbones are in the cache."""
    if request.param == "stand-in":
        chosen: Lpips = request.getfixturevalue("stand_in")
        return chosen
    real = metric_named(request.param)
    if reason := real.unavailable():
        pytest.skip(reason)
    return real


@pytest.fixture
def package(metric: Lpips) -> Callable[[torch.Tensor, torch.Tensor], list[float]]:
    """The `lpips` package's forward pass on the same weights, loaded in another way."""
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: Any = importlib.import_module("lpips").LPIPS(
            net=metric.net, pnet_rand=True, verbose=False
        )
    for name, values in load_backbone(metric.backbone).items():
        _, layer, part = name.split(".")
        (convolution,) = [
            part
            for number in range(1, 6)
            for place, part in getattr(network.net, f"slice{number}").named_children()
            if place == layer
        ]
        getattr(convolution, part).data.copy_(torch.from_numpy(values))

    def forward(sr: torch.Tensor, hr: torch.Tensor) -> list[float]:
        with torch.no_grad():
            values: list[float] = network(sr, hr).flatten().tolist()
        return values

    return forward


def planes(pixels: list[Pixels]) -> torch.Tensor:
    """[B, 3, H, W] in 0 to 255."""
    return torch.stack([torch.tensor(p.transpose(2, 0, 1).tolist()) for p in pixels]).float()


def test_equals_the_package(
    metric: Lpips, package: Callable[[torch.Tensor, torch.Tensor], list[float]]
) -> None:
    sr, hr = pictures(3), pictures(3, seed=1)
    expected = package(planes(sr) / 255 * 2 - 1, planes(hr) / 255 * 2 - 1)
    assert metric.score(sr, hr) == pytest.approx(expected, abs=1e-6)
    assert min(expected) > 0.01
    assert len({round(value, 6) for value in expected}) == 3
    # As the scripts released with DPI feed it: what they take for [0, 1] is [0, 255].
    released = package(planes(sr) * 2 - 1, planes(hr) * 2 - 1)
    assert replace(metric, span="to 509").score(sr, hr) == pytest.approx(released, abs=1e-6)


def test_inputs_out_of_range_would_give_other_values(
    metric: Lpips, package: Callable[[torch.Tensor, torch.Tensor], list[float]]
) -> None:
    sr, hr = pictures(2), pictures(2, seed=1)
    values = np.array(metric.score(sr, hr))
    mistaken = np.array(package(planes(sr) * 2 - 1, planes(hr) * 2 - 1))
    unit = np.array(package(planes(sr) / 255, planes(hr) / 255))
    assert np.abs(values - mistaken).min() > 0.01
    assert np.abs(values - unit).min() > 0.001


def test_the_paper_protocol_feeds_twice_the_levels(
    metric: Lpips, package: Callable[[torch.Tensor, torch.Tensor], list[float]]
) -> None:
    sr, hr = pictures(2), pictures(2, seed=1)
    expected = package(planes(sr) * 2 - 1, planes(hr) * 2 - 1)
    # Single precision, in a range that is 255 times as wide.
    assert metric.under(Protocol("paper")).score(sr, hr) == pytest.approx(expected, abs=1e-5)
    shifted = package(planes(sr) * 2, planes(hr) * 2)
    assert np.abs(np.array(shifted) - expected).min() > 2e-5


def test_equal_pictures_give_zero(metric: Lpips) -> None:
    same = pictures(2)
    assert metric.score(same, [p.copy() for p in same]) == [0.0, 0.0]


def test_values_do_not_depend_on_company(metric: Lpips, monkeypatch: pytest.MonkeyPatch) -> None:
    sr = pictures(3) + pictures(2, height=40) + pictures(1, seed=7)
    hr = pictures(3, seed=1) + pictures(2, height=40, seed=1) + pictures(1, seed=8)
    together = metric.score(sr, hr)
    assert len({round(value, 4) for value in together}) == 6
    assert metric.score(sr[::-1], hr[::-1])[::-1] == pytest.approx(together, abs=1e-5)
    alone = [metric.score([s], [h])[0] for s, h in zip(sr, hr, strict=True)]
    assert alone == pytest.approx(together, abs=1e-5)
    monkeypatch.setattr(perceptual, "_BATCH_PIXELS", 2 * 64 * 48)
    assert metric.score(sr, hr) == pytest.approx(together, abs=1e-5)


def test_an_original_that_runs_share_is_looked_at_once(
    metric: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    directions = perceptual._directions

    def counted(network: Any, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
        looked_at.append(len(pictures))
        return directions(network, pictures)

    first, second = pictures(2, seed=1)
    hr = [first, second, first, first, second, first]
    sr = pictures(6)
    alone = [metric.score([s], [h])[0] for s, h in zip(sr, hr, strict=True)]
    monkeypatch.setattr(perceptual, "_directions", counted)
    monkeypatch.setattr(perceptual, "_BATCH_PIXELS", 4 * 64 * 48)
    assert metric.score(sr, hr) == pytest.approx(alone, abs=1e-5)
    assert looked_at == [2, 4, 2]
    assert len({round(value, 4) for value in alone}) == 6


def test_batches_are_bounded() -> None:
    many = [np.zeros((256, 256, 3), np.uint8)] * 19 + [np.zeros((2000, 2000, 3), np.uint8)] * 2
    found = batches(many, perceptual._BATCH_PIXELS)
    assert [len(batch) for batch in found] == [4, 4, 4, 4, 3, 1, 1]
    assert sorted(chain.from_iterable(found)) == list(range(21))


def test_the_network_is_built_once_and_draws_nothing(stand_in: Lpips) -> None:
    before = torch.random.get_rng_state()
    first = perceptual._network(stand_in, "cpu")
    stand_in.score(pictures(1), pictures(1, seed=1))
    assert perceptual._network(stand_in, "cpu") is first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not first.training
    assert not any(p.requires_grad or p.is_meta for p in first.parameters())


def test_without_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    for name, title in [("lpips-alex", "AlexNet"), ("lpips-vgg", "VGG16")]:
        message = f"LPIPS needs its {title} backbone: run `bench weights get lpips`."
        assert find(name).unavailable() == message
        with pytest.raises(BenchError, match=f"needs its {title}"):
            find(name).score(pictures(1), pictures(1))


@pytest.mark.parametrize("package_name", ["lpips", "torchvision"])
def test_without_package(stand_in: Lpips, package_name: str, monkeypatch: Any) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package_name else found(name)
    )
    message = f"LPIPS needs the package {package_name}: run `pip install {package_name}`."
    assert stand_in.unavailable() == message


def test_other_heads_are_refused(stand_in: Lpips) -> None:
    with pytest.raises(BenchError, match=r"linear heads that differ .*pip install lpips==0\.1\.4"):
        replace(stand_in, heads="0" * 64).score(pictures(1), pictures(1))


def test_a_damaged_backbone_is_refused(stand_in: Lpips) -> None:
    path = backbone_path("alexnet")
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(BenchError, match="is damaged: run `bench weights get lpips` again"):
        stand_in.score(pictures(1), pictures(1))


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_identity_names_all_it_depends_on(name: str) -> None:
    metric = metric_named(name)
    for part in ("lpips 0.1.4", "[-1, 1]", "float32", metric.heads, metric.backbone):
        assert part in metric.identity
    assert BACKBONES[metric.backbone].sha256 in metric.identity


@pytest.mark.parametrize(
    ("name", "factor", "known"),
    [("lpips-vgg", 16, 0.56), ("lpips-vgg", 8, 0.41), ("lpips-alex", 8, 0.48)],
)
def test_faces_score_as_measured_elsewhere(name: str, factor: int, known: float) -> None:
    """Bicubic over many faces; four of them come within a few hundredths of the mean."""
    metric = find(name)
    if reason := metric.unavailable():
        pytest.skip(reason)
    if not FACES.is_dir():
        pytest.skip("the face data are not beside the repository")
    hr = [read_image(path) for path in sorted(FACES.glob("*.png"))[:4]]
    sr = [resize_bicubic(resize_bicubic(face, 256 // factor), 256) for face in hr]
    assert np.mean(metric.score(sr, hr)) == pytest.approx(known, abs=0.04)


VGG_SHAPES = tuple(
    (out, into, 3)
    for into, out in itertools.pairwise(
        (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    )
)


@pytest.fixture
def vgg_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tensors]:
    """VGG16 with random weights, in place of the backbone that is not installed everywhere."""
    random = np.random.default_rng(2)
    tensors: Tensors = {}
    for layer, (out, into, side) in zip(BACKBONES["vgg16"].layers, VGG_SHAPES, strict=True):
        weight = random.standard_normal((out, into, side, side), dtype=np.float32)
        tensors[f"features.{layer}.weight"] = weight * np.float32((2 / (into * side**2)) ** 0.5)
        tensors[f"features.{layer}.bias"] = weight[:, 0, 0, 0] / np.float32(10)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setitem(BACKBONES, "vgg16", replace(BACKBONES["vgg16"], sha256=digest(tensors)))
    save_file(tensors, backbone_path("vgg16"))
    perceptual._network.cache_clear()
    yield tensors
    perceptual._network.cache_clear()


@pytest.mark.parametrize("average", [False, True])
def test_average_pooling_equals_piq(
    average: bool, vgg_stand_in: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAPS and InverseBench: piq.LPIPS(replace_pooling=True) on [0, 1]."""
    import_torchvision()
    piq: Any = pytest.importorskip("piq")
    models: Any = importlib.import_module("piq.perceptual")
    heads = torch.load(
        Path(str(importlib.import_module("lpips").__file__)).parent / "weights/v0.1/vgg.pth",
        map_location="cpu",
        weights_only=True,
    )
    weights = [heads[f"lin{number}.model.1.weight"] for number in range(5)]
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: weights)
    vgg = importlib.import_module("torchvision.models").vgg16(weights=None)
    state = {name: torch.from_numpy(value) for name, value in vgg_stand_in.items()}
    vgg.load_state_dict(state, strict=False)
    monkeypatch.setattr(models, "vgg16", lambda **_: vgg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = piq.LPIPS(replace_pooling=average, reduction="none")
    sr, hr = pictures(3), pictures(3, seed=1)
    unit = [torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2).float() / 255 for p in (sr, hr)]
    with torch.inference_mode():
        expected = theirs(*unit).tolist()
    name = "lpips-vgg-average" if average else "lpips-vgg"
    assert find(name).score(sr, hr) == pytest.approx(expected, rel=1e-4)
    if average:
        plain = find("lpips-vgg")
        assert plain.under(Protocol("daps")).score(sr, hr) == pytest.approx(expected, rel=1e-4)
        assert plain.score(sr, hr) != pytest.approx(expected, rel=0.01)


def test_pnp_dm_feeds_the_unit_range(vgg_stand_in: Tensors) -> None:
    sr, hr = pictures(2), pictures(2, seed=1)
    metric = metric_named("lpips-vgg")
    network = perceptual._network(metric, "cpu")
    unit = [torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2).float() / 255 for p in (sr, hr)]
    with torch.inference_mode():
        expected = network(*unit).flatten().tolist()
    assert metric.under(Protocol("pnp-dm")).score(sr, hr) == pytest.approx(expected, rel=1e-4)
    assert find("lpips-vgg-unit").score(sr, hr) == pytest.approx(expected, rel=1e-4)


def test_protocols_of_others_leave_alexnet_alone() -> None:
    alex = metric_named("lpips-alex")
    for name in ("daps", "pnp-dm"):
        assert alex.under(Protocol(name)).key == alex.key
        assert metric_named("lpips-vgg").under(Protocol(name)).key != metric_named("lpips-vgg").key
