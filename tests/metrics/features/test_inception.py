"""FID, KID and IS through pictures: the whole way, with VGG16 in the place of Inception.

Inception's weights can't ship. What is around it is the same with another pretrained network, which
here serves both sides: ours, and the functions of clean-fid and torch-fidelity.
"""

import importlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

from bench.core.files import write_bytes
from bench.images import Pixels, encode_png, read_image, resize_bicubic
from bench.metrics import find_measure
from bench.metrics.checkpoints import checkpoint_path
from bench.metrics.features import inception
from bench.metrics.features.backbones import backbone_path, load_backbone
from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.features.inception import Clean, Legacy, Network, clean_resized
from bench.metrics.protocol import STRICT, Protocol
from bench.metrics.set_distances import Distribution, Frechet, Kernel, Score
from bench.networks.torchvision_guard import import_torchvision
from tests.random_inception import random_inception

import_torchvision()

DATA = Path(__file__).parents[4] / "shared" / "data" / "celebahq256"
SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "images"
COUNT = 12


@cache
def vgg() -> dict[str, Tensor]:
    if not backbone_path("vgg16").is_file():
        pytest.skip("the backbone isn't in the cache: bench weights get lpips")
    return {name: torch.from_numpy(values) for name, values in load_backbone("vgg16").items()}


def see(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """VGG16's last features, pooled [B, 512], and a part of them as logits [B, 100]."""
    # A quarter of the size, so that the test is quick.
    x = avg_pool2d(pictures.float() / 255 * 4 - 2, 4)
    layers = iter(sorted({int(name.split(".")[1]) for name in vgg()}))
    for block in (2, 2, 3, 3, 3):
        for layer in (next(layers) for _ in range(block)):
            weight, bias = (vgg()[f"features.{layer}.{part}"] for part in ("weight", "bias"))
            x = conv2d(x, weight, bias, padding=1).relu()
        last, x = x, max_pool2d(x, 2)
    pooled = last.mean(dim=(2, 3))
    return pooled, pooled[:, :100] * 4


class VggClean(Clean):
    def unavailable(self) -> str | None:
        return None

    def network(self, device: str = "cpu") -> Network:
        return see


class VggLegacy(Legacy):
    def unavailable(self) -> str | None:
        return None

    def network(self, device: str = "cpu") -> Network:
        network: Network = fidelity_class()("vgg", ["pooled", "logits"])
        return network


@cache
def fidelity_class() -> Any:
    """A feature extractor by torch-fidelity's rules: uint8 in, enlarged as TensorFlow 1 did."""
    base: Any = importlib.import_module("torch_fidelity.feature_extractor_base")
    compat: Any = importlib.import_module("torch_fidelity.interpolate_compat_tensorflow")

    class Vgg(base.FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "pooled", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return {"isc": "logits", "fid": "pooled", "kid": "pooled"}[metric]

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
            assert pictures.dtype == torch.uint8
            enlarge = compat.interpolate_bilinear_2d_like_tensorflow1x
            seen = see(enlarge(pictures.float(), size=(299, 299), align_corners=False))
            named = dict(zip(("pooled", "logits"), seen, strict=True))
            # The list comes out of a set: its order is another in each process.
            return tuple(named[name] for name in self.features_list)

    module: Any = importlib.import_module("torch_fidelity")
    module.register_feature_extractor("vgg", Vgg)
    return Vgg


@dataclass(frozen=True)
class Folders:
    """Real faces, and the same enlarged from a quarter, as files and as pictures."""

    hr: Path
    sr: Path

    def pictures(self, folder: Path) -> list[Pixels]:
        return [read_image(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Of photographs; where the face data are not beside the repository, of the sample faces."""
    source = DATA if DATA.is_dir() else SAMPLE
    root = tmp_path_factory.mktemp("pictures")
    for path in sorted(source.glob("*.png"))[:COUNT]:
        hr = resize_bicubic(read_image(path), 128)
        write_bytes(root / "hr" / path.name, encode_png(hr))
        write_bytes(
            root / "sr" / path.name, encode_png(resize_bicubic(resize_bicubic(hr, 32), 128))
        )
    return Folders(root / "hr", root / "sr")


CLEAN = VggClean("clean-fid", "cleanfid", "inception-clean-fid")
LEGACY = VggLegacy("torch-fidelity", "torch_fidelity", "inception-torch-fidelity")


def value(metric: Distribution, folders: Folders, cache: FeatureCache) -> float:
    """The value as scoring comes to it."""
    tables = []
    for folder in (folders.sr, folders.hr):
        pictures = folders.pictures(folder)
        names = [f"{folder.name}-{index}" for index in range(len(pictures))]
        for name, features in zip(names, metric.extractor.extract(pictures), strict=True):
            cache.write(metric.extractor.identity, name, features)
        tables.append(FeatureTable(cache, metric.extractor.identity, tuple(names)))
    found = metric.measure(*tables)
    assert isinstance(found, float)
    return found


FID = Frechet("fid", "FID", False, "", 2, 0, source=CLEAN, least=2)
FID_LEGACY = Frechet("fid-legacy", "FID-legacy", False, "", 2, 0, source=LEGACY, least=2)
KID = Kernel("kid", "KID", False, "", 5, 0, source=LEGACY, least=2)
IS = Score("is", "IS", True, "", 3, 0, source=LEGACY, least=10)


def test_clean_fid(folders: Folders, tmp_path: Path) -> None:
    module: Any = importlib.import_module("cleanfid.fid")
    theirs = [
        module.get_folder_features(
            str(folder),
            lambda x: see(x)[0],
            num_workers=0,
            batch_size=5,
            device=torch.device("cpu"),
            mode="clean",
            verbose=False,
        )
        for folder in (folders.sr, folders.hr)
    ]
    # clean-fid's own distance takes the root of a covariance that is singular here.
    arithmetic: Any = importlib.import_module("torch_fidelity.metric_fid")
    stats = [arithmetic.fid_features_to_statistics(torch.from_numpy(x).double()) for x in theirs]
    expected = arithmetic.fid_statistics_to_metric(*stats, verbose=False)
    found = value(FID, folders, FeatureCache(tmp_path))
    assert found == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found > 0.1


def test_torch_fidelity(folders: Folders, tmp_path: Path) -> None:
    fidelity: Any = importlib.import_module("torch_fidelity")
    assert fidelity_class()
    expected = fidelity.calculate_metrics(
        input1=str(folders.sr),
        input2=str(folders.hr),
        feature_extractor="vgg",
        fid=True,
        kid=True,
        isc=True,
        kid_subsets=1,
        kid_subset_size=COUNT,
        samples_shuffle=False,
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=5,
        save_cpu_ram=True,
    )
    cache = FeatureCache(tmp_path)
    assert value(FID_LEGACY, folders, cache) == pytest.approx(
        expected["frechet_inception_distance"], rel=1e-4
    )
    assert value(KID, folders, cache) == pytest.approx(
        # They add up kernel values near one in float32.
        expected["kernel_inception_distance_mean"],
        rel=1e-4,
        abs=1e-6,
    )
    assert value(IS, folders, cache) == pytest.approx(expected["inception_score_mean"], rel=1e-4)


def test_features_depend_on_no_company() -> None:
    random = np.random.default_rng(0)
    sizes = (64, 48, 64, 48, 64)
    pictures = [random.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in sizes]
    for extractor in (CLEAN, LEGACY):
        together = extractor.extract(pictures)
        alone = [extractor.extract([pixels])[0] for pixels in pictures]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one["pooled"], other["pooled"], rtol=1e-5, atol=1e-5)


def test_clean_resizing_is_clean_fids() -> None:
    module: Any = importlib.import_module("cleanfid.resize")
    pixels = np.random.default_rng(0).integers(0, 256, (100, 70, 3), dtype=np.uint8)
    expected = module.build_resizer("clean")(pixels).transpose(2, 0, 1)
    np.testing.assert_array_equal(clean_resized(pixels), expected)
    assert 0 <= expected.min() < 20
    assert 235 < expected.max() <= 255


@pytest.mark.parametrize(("metric", "few"), [(FID, 1), (KID, 1), (IS, 9)])
def test_too_few_pictures_are_told(metric: Distribution, few: int) -> None:
    table = FeatureTable(FeatureCache(Path("nowhere")), "", ("0",) * few)
    assert metric.measure(table, table) == (
        f"{metric.title} needs at least {few + 1} images, but there are {few}."
    )


def test_the_paper_protocol_takes_torch_fidelity() -> None:
    fid, legacy = find_measure("fid"), find_measure("fid-legacy")
    assert isinstance(fid, Frechet)
    assert isinstance(legacy, Frechet)
    assert fid.under(STRICT) == fid
    assert fid.under(Protocol("paper")).source == legacy.source
    assert fid.source != legacy.source


def test_a_file_of_the_released_layout_sees_what_it_sees_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "random.pth"
    package = random_inception(file)
    monkeypatch.setattr(inception, "checkpoint_path", lambda name: file)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2)]
    taken = inception.LEGACY.resized(pictures)
    with torch.inference_mode():
        ours = inception._legacy_network.__wrapped__("random", "cpu")(taken)
        theirs = package(taken.contiguous())
    for one, other in zip(ours, theirs, strict=True):
        # Single precision, summed in another order.
        assert (one - other).abs().max() < 1e-5 * other.abs().max()
        assert (other[0] - other[1]).abs().max() > 1e-3 * other.abs().max()


@pytest.mark.parametrize(
    ("name", "weights"),
    [("fid", "inception-clean-fid"), ("fid-legacy", "inception-torch-fidelity")],
)
def test_without_weights_the_command_is_named(
    name: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    metric, path = find_measure(name), checkpoint_path(weights)
    remedy = f"run `bench weights get {weights}`."
    assert metric.unavailable() == f"{path.name} is missing: {remedy}"
    before = metric.key
    write_bytes(path, b"another file")
    assert metric.key != before
    assert metric.unavailable() == f"{path} is damaged: remove it and {remedy}"


def test_without_package_the_command_is_named() -> None:
    absent = replace(FID, source=Clean("x-fid", "no_such_module", "inception-clean-fid"))
    assert absent.unavailable() == "no_such_module not installed: run `pip install -e '.[fid]'`."


def test_fid_and_kid_have_errors_of_halves_of_the_same_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cache = FeatureCache(tmp_path)
    features = random.standard_normal((2, 12, 5))
    # The orders of hashes of the two sides are told apart from that of the images.
    names = [[f"{side}{order:02}" for order in random.permutation(12)] for side in "sh"]
    for side in range(2):
        for name, values in zip(names[side], features[side], strict=True):
            cache.write("e", name, {"pooled": values})

    def tables(order: list[int]) -> tuple[FeatureTable, FeatureTable]:
        sr, hr = (FeatureTable(cache, "e", tuple(of[i] for i in order)) for of in names)
        return sr, hr

    for metric in (FID, KID):
        assert metric.error is not None
        found = metric.error.measure(*tables(list(range(12))))
        assert isinstance(found, float)
        assert found > 0
        assert metric.error.measure(*tables(list(reversed(range(12))))) == pytest.approx(found)
        few = metric.error.measure(*tables([0, 1, 2]))
        assert few == "It needs 4 to 2000 images, but there are 3."
    assert IS.error is None
