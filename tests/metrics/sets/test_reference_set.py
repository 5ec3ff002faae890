"""Reference sets: made in pieces, resumed, imported, and compared with as packages do."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.features import inception
from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.protocol import STRICT, Protocol
from bench.metrics.set_distances import METRICS, Frechet, Kernel
from bench.metrics.sets import add_reference
from bench.metrics.sets.add_reference import WantedReference, compute, import_statistics
from bench.metrics.sets.distributions import Gaussian, frechet_distance, gaussian
from bench.metrics.sets.reference_set import (
    FILE_NAME,
    ReferenceSet,
    find_or_missing,
    find_reference,
    read_statistics,
    references,
)
from bench.metrics.sets.resampling import frechet_to, kernel_to
from bench.networks.torchvision_guard import import_torchvision
from tests.random_inception import random_inception

DIMENSIONS = 6
COUNT = 40


@dataclass(frozen=True)
class Rows(Extractor):
    """The first pixels of an image as its features; counts images, and stops after some."""

    seen: list[int] = field(default_factory=list, compare=False)
    stop_after: int = 10**9

    @property
    def identity(self) -> str:
        return "rows"

    def extract(self, pictures: Any, device: str = "cpu") -> list[Features]:
        if sum(self.seen) + len(pictures) > self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(len(pictures))
        return [{"pooled": p.reshape(-1)[:DIMENSIONS].astype(np.float32)} for p in pictures]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(add_reference, "_PART", 16)


def images(seed: int, count: int = COUNT) -> dict[str, Pixels]:
    random = np.random.default_rng(seed)
    level = random.integers(0, 200, (count, 1, 1, 1))
    pixels = (level + random.integers(0, 50, (count, 2, 2, 3))).astype(np.uint8)
    return {f"{i:03}": each for i, each in enumerate(pixels)}


def made(extractor: Rows, keep: bool = False, seed: int = 0) -> ReferenceSet:
    of = images(seed)

    def read(ids: set[str]) -> Iterator[tuple[str, bytes, Pixels]]:
        for image in sorted(ids):
            yield image, of[image].tobytes(), of[image]

    return compute(WantedReference("ref", "somewhere", None, [extractor], keep), list(of), read)


def table(folder: Path, seed: int, extractor: Rows) -> FeatureTable:
    cache = FeatureCache(folder)
    of = images(seed)
    for image, found in zip(of, extractor.extract(list(of.values())), strict=True):
        cache.write("rows", image, found)
    return FeatureTable(cache, "rows", tuple(of))


def test_statistics_are_those_of_all_images() -> None:
    reference = made(Rows())
    mean, covariance = read_statistics(reference.statistics(Rows()))
    rows = np.stack([p.reshape(-1)[:DIMENSIONS] for p in images(0).values()]).astype(float)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    # Two sums of squares, each rounded once per image.
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False), rtol=1e-10)
    assert reference.images == COUNT
    assert references() == ["ref"]
    assert find_reference("ref") == reference
    assert not list(reference.folder.glob(".parts*"))


def test_what_a_kill_left_is_not_computed_again() -> None:
    with pytest.raises(KeyboardInterrupt):
        made(Rows(stop_after=32))
    assert references() == []
    rest = Rows()
    resumed = made(rest)
    assert sum(rest.seen) == COUNT - 32
    whole = read_statistics(made(Rows()).statistics(Rows()))
    for one, other in zip(read_statistics(resumed.statistics(Rows())), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_images_are_another_reference() -> None:
    assert made(Rows()).identity != made(Rows(), seed=1).identity


@pytest.mark.filterwarnings("ignore:The `disp`:DeprecationWarning")  # of both packages' sqrtm
def test_frechet_distance_to_a_reference_equals_torch_fidelitys(tmp_path: Path) -> None:
    reference = made(Rows())
    metric = Frechet("x", "X", False, "", 2, 0, source=Rows()).against(reference)
    sr = table(tmp_path, 1, Rows())
    found = metric.measure(sr, sr)
    import_torchvision()  # which both packages need
    arithmetic: Any = importlib.import_module("torch_fidelity.metric_fid")
    rows = [np.stack([p.reshape(-1)[:6] for p in images(s).values()]) for s in (1, 0)]
    stats = [arithmetic.fid_features_to_statistics(torch.from_numpy(r.astype(float))) for r in rows]
    expected = arithmetic.fid_statistics_to_metric(*stats, verbose=False)
    assert found == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    theirs: Any = importlib.import_module("pytorch_fid.fid_score")
    means = [r.mean(axis=0) for r in rows]
    covariances = [np.cov(r, rowvar=False) for r in rows]
    again = theirs.calculate_frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert found == pytest.approx(again, rel=1e-6)
    clean: Any = importlib.import_module("cleanfid.fid")
    again = clean.frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert found == pytest.approx(again, rel=1e-6)


def test_the_kernel_statistic_of_a_part_differs_by_what_is_within_the_reference() -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((40, 6)), random.standard_normal((90, 6))

    class Reference:
        def __len__(self) -> int:
            return len(y)

        def pieces(self, name: str) -> Iterator[Any]:
            yield y[:50]
            yield y[50:]

    statistic = kernel_to(x, Reference())
    within = (y @ y.T / 6 + 1) ** 3
    constant = (within.sum() - np.trace(within)) / (90 * 89)
    for part in (np.arange(20), random.permutation(40)[:15]):
        of = x[part]
        inside = (of @ of.T / 6 + 1) ** 3
        count = len(part)
        expected = (inside.sum() - np.trace(inside)) / (count * (count - 1))
        expected += constant - 2 * ((of @ y.T / 6 + 1) ** 3).mean()
        assert statistic(part) + constant == pytest.approx(expected, rel=1e-9)


def test_the_statistic_of_a_part_is_the_distance_of_that_part() -> None:
    """Standard errors draw parts of the images against a reference that stays whole."""
    random = np.random.default_rng(0)
    x = random.standard_normal((20, DIMENSIONS))
    other = gaussian(np.ones(DIMENSIONS), np.diag(np.arange(1.0, 1 + DIMENSIONS)))
    for part in (random.permutation(20)[:10], np.arange(3)):  # of full rank, and not
        rows = x[part]
        root = (rows - rows.mean(axis=0)) / np.sqrt(len(part) - 1)
        expected = frechet_distance(Gaussian(rows.mean(axis=0), root), other)
        assert frechet_to(x, other)(part) == pytest.approx(expected, rel=1e-12)


def test_extractors_are_added_to_a_reference_of_the_same_images() -> None:
    class Other(Rows):
        label = "other"
        identity = "other"

    made(Rows())
    assert list(made(Other()).made_by) == ["rows", "other"]
    assert list(made(Other(), seed=1).made_by) == ["other"]  # the statistics are of other images


def test_kernel_distance_needs_features_and_takes_them(tmp_path: Path) -> None:
    plain = Kernel("x", "X", False, "", 2, 0, source=Rows())
    without = plain.against(made(Rows()))
    assert "bench reference add ref somewhere --keep-features" in (without.unavailable() or "")
    kept = plain.against(made(Rows(), keep=True))
    assert kept.unavailable() is None
    sr, hr = table(tmp_path / "a", 1, Rows()), table(tmp_path / "b", 0, Rows())
    assert kept.measure(sr, sr) == pytest.approx(plain.measure(sr, hr), rel=1e-12)
    assert kept.error.measure(sr, sr) == pytest.approx(plain.error.measure(sr, hr), rel=1)


def test_the_reference_is_part_of_the_identity() -> None:
    metric = Frechet("x", "X", False, "", 2, 0, source=Rows())
    reference = made(Rows())
    assert reference.sha256 in metric.against(reference).key
    assert "to the originals" in metric.key
    assert metric.against(reference).reference == "itself"
    score = next(m for m in METRICS if m.name == "is")
    assert score.against(reference) == score


def test_a_missing_reference_says_how_to_make_it() -> None:
    metric = Frechet("x", "X", False, "", 2, 0, source=Rows()).against(find_or_missing("ffhq"))
    assert metric.unavailable() == (
        "The reference ffhq is missing: run `bench reference add ffhq SOURCE`."
    )


def test_a_reference_by_another_version_is_refused() -> None:
    class Newer(Rows):
        label = "rows"
        identity = "rows 2"

    metric = Frechet("x", "X", False, "", 2, 0, source=Newer())
    assert "this version of rows" in (metric.against(made(Rows())).unavailable() or "")


@pytest.mark.parametrize("form", ["npz", "pth", "old pth", "tensors"])
def test_statistics_of_other_programs_are_read(form: str, tmp_path: Path) -> None:
    mean, covariance = np.arange(3.0), np.diag([1.0, 2.0, 3.0])
    path = tmp_path / f"stats.{'npz' if form == 'npz' else 'pth'}"
    if form == "npz":
        np.savez(path, mu=mean, sigma=covariance)
    elif form == "tensors":
        torch.save({"mean": torch.tensor(mean), "cov": torch.tensor(covariance)}, path)
    else:
        legacy = form == "old pth"
        torch.save(
            {"name": "FFHQ", "size": 512, "mean": mean, "cov": covariance},
            path,
            _use_new_zipfile_serialization=not legacy,
        )
        if legacy:  # NumPy before 2 had its functions in numpy.core
            data = path.read_bytes()
            assert b"numpy._core.multiarray\n" in data
            path.write_bytes(data.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"))
    found = import_statistics("ref", path, "pytorch-fid", 70_000)
    assert str(found) == "ref (70,000 images)"
    for one, other in zip(
        read_statistics(found.folder / "statistics-pytorch-fid.npz"),
        (mean, covariance),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert found.lacks(inception.PYTORCH_FID) is None
    assert "clean-fid" in (found.lacks(inception.CLEAN) or "")


def test_imported_statistics_have_no_features_of_the_images_before(tmp_path: Path) -> None:
    before = made(Rows(), keep=True)
    np.savez(tmp_path / "x.npz", mu=np.zeros(3), sigma=np.eye(3))
    after = import_statistics(before.name, tmp_path / "x.npz", Rows().label, None)
    assert after.lacks(Rows()) is None
    assert after.lacks(Rows(), features=True) is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mean": np.zeros(3)}, "give an .npz with mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"must be \[D\] and \[D, D\]"),
        ({"mu": np.full(2, np.nan), "sigma": np.zeros((2, 2))}, "not finite"),
    ],
)
def test_other_files_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(BenchError, match=message):
        read_statistics(tmp_path / "x.npz")
    assert not references()


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (print, ("run",))

    torch.save({"mean": Attack(), "cov": np.zeros((2, 2))}, tmp_path / "x.pth")
    with pytest.raises(BenchError, match="can't be read as statistics"):
        read_statistics(tmp_path / "x.pth")


def test_a_damaged_reference_is_refused() -> None:
    reference = made(Rows())
    (reference.folder / FILE_NAME).write_text("{}")
    with pytest.raises(BenchError, match="damaged"):
        find_reference("ref")


def test_the_paper_protocol_takes_pytorch_fid_against_a_reference() -> None:
    fid = next(m for m in METRICS if m.name == "fid")
    assert isinstance(fid, Frechet)
    paper = Protocol("paper")
    assert fid.under(paper).source == inception.LEGACY
    reference = made(Rows())
    assert fid.against(reference).under(paper).extractor == inception.PYTORCH_FID
    assert fid.against(reference).under(STRICT).extractor == inception.CLEAN


def test_pytorch_fids_features_are_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On random weights in the released layout, which both packages load."""
    file = tmp_path / "random.pth"
    random_inception(file)
    package: Any = importlib.import_module("pytorch_fid.inception")
    monkeypatch.setattr(package, "load_state_dict_from_url", lambda *_, **__: torch.load(file))
    theirs = package.InceptionV3().eval()
    monkeypatch.setattr(inception, "checkpoint_path", lambda name: file)
    see = inception._pytorch_fid_network.__wrapped__("random", "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)
    with torch.inference_mode():
        ours = see(inception.PYTORCH_FID.resized(list(pixels)))[0]
        unit = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        expected = theirs(unit)[0][:, :, 0, 0]
    # Single precision through 94 convolutions, summed in another order.
    assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()
