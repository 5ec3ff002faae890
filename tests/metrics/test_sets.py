"""Features and metrics of whole sets: what is kept, what is shared, what is computed anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.base import FeatureMetric, Metric, Reference, SetMetric
from bench.metrics.features.cache import FeatureCache, FeatureTable, kept_as
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.protocol import STRICT, Protocol, through_jpeg
from bench.metrics.scoring.evaluate import score_runs
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from bench.testsets.recipe import plan_testset
from tests.small import RECIPE, photos, picture, prepared, small_testset

PAPER = Protocol("paper", jpeg=True)


@dataclass(frozen=True)
class Brightness(Extractor):
    """The mean of a picture; counts the pictures of each call."""

    calls: list[int] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> str:
        return "brightness"

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        self.calls.append(len(pictures))
        return [{"mean": np.array([p.mean()], np.float32)} for p in pictures]


@dataclass(frozen=True)
class Darkening(FeatureMetric):
    """How much darker a picture is than its original; undefined for bright originals."""

    of: Brightness

    @property
    def identity(self) -> str:
        return "darkening"

    @property
    def extractor(self) -> Brightness:
        return self.of

    def compare(self, sr: Features, hr: Features) -> float | str:
        darker = float(hr["mean"][0] - sr["mean"][0])
        return "it is brighter" if darker < 0 else darker


@dataclass(frozen=True)
class Total(SetMetric):
    """Sums of all means; undefined for one picture."""

    of: Brightness
    calls: list[int] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> str:
        return "total"

    @property
    def extractor(self) -> Brightness:
        return self.of

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        self.calls.append(len(sr))
        if len(sr) == 1:
            return "It needs two."
        first, second = (sum(float(p.sum()) for p in t.pieces("mean")) for t in (sr, hr))
        return first - 1000 * second


@dataclass(frozen=True)
class Against(Metric):
    """The means of the picture and of its reference, in one number."""

    compared_with: ClassVar[Reference] = "lr"

    @property
    def identity(self) -> str:
        return f"against {self.reference}"

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        return [float(s.mean() - 1000 * h.mean()) for s, h in zip(sr, hr, strict=True)]


class AgainstRepetitions(Against):
    compared_with: ClassVar[Reference] = "repetitions"


def darkening(of: Brightness) -> Darkening:
    return Darkening("darkening", "Darkening", True, "", 1, 0, of)


def total(of: Brightness) -> Total:
    return Total("total", "Total", True, "", 1, 0, of)


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


def new_run(testset: TestSet, root: Path, repetition: int = 0, images: int = 4) -> Run:
    spec = RunSpec("m", 1, {}, testset.manifest.sha256, {}, 0, repetition)
    run = Run.open(root / "results", testset.name, "M", spec, {})
    names = list(testset.entries)[:images]
    made = {name: picture(100 + 10 * repetition + i) for i, name in enumerate(names)}
    run.write(made, seconds=1.0, evaluations=0)
    return run


def scores(run: Run, identity: str) -> dict[str, tuple[float, str]]:
    """Image -> value and note."""
    table = run.scores()
    assert table is not None
    table = table[table["identity"] == identity]
    assert not table.duplicated(["image", "reference_sha256"]).any()
    values = zip(table["value"], table["note"], strict=True)
    return dict(zip(table["image"], values, strict=True))


def means(seeds: Sequence[int]) -> float:
    return sum(float(np.float32(picture(seed).mean())) for seed in seeds)


def test_metrics_share_features_and_an_added_picture_computes_its_own(
    testset: TestSet, tmp_path: Path
) -> None:
    brightness = Brightness()
    columns = (darkening(brightness), total(brightness))
    run = new_run(testset, tmp_path)
    score_runs(testset, tmp_path / "results", columns)
    assert brightness.calls == [8]  # pictures and originals
    value, note = scores(run, "total")[""]
    assert value == pytest.approx(means(range(100, 104)) - 1000 * means(range(4)))
    assert note == ""
    score_runs(testset, tmp_path / "results", columns)
    assert (brightness.calls, columns[1].calls) == ([8], [4])

    run.write({next(iter(testset.entries)): picture(999)}, seconds=1.0, evaluations=0)
    score_runs(testset, tmp_path / "results", columns)
    assert brightness.calls == [8, 1]
    changed, _ = scores(run, "total")[""]
    assert changed == pytest.approx(means([999, 101, 102, 103]) - 1000 * means(range(4)))


def test_originals_are_shared_by_runs(testset: TestSet, tmp_path: Path) -> None:
    brightness = Brightness()
    for repetition in (0, 1):
        new_run(testset, tmp_path, repetition)
    score_runs(testset, tmp_path / "results", [total(brightness)])
    assert brightness.calls == [12]  # pictures of both, and originals


def test_a_value_that_is_none_is_kept_with_its_reason(testset: TestSet, tmp_path: Path) -> None:
    run = new_run(testset, tmp_path)
    score_runs(testset, tmp_path / "results", [darkening(Brightness())])
    for index, (value, note) in enumerate(scores(run, "darkening").values()):
        darker = picture(index).mean() - picture(100 + index).mean()
        if darker < 0:
            assert math.isnan(value)
            assert note == "it is brighter"
        else:
            assert value == pytest.approx(darker, abs=1e-4)  # features are float32
            assert note == ""
    notes = [note for _, note in scores(run, "darkening").values()]
    assert 0 < sum(map(bool, notes)) < 4


def test_an_incomplete_run_has_no_value_of_the_set(testset: TestSet, tmp_path: Path) -> None:
    run = new_run(testset, tmp_path, images=3)
    score_runs(testset, tmp_path / "results", [total(Brightness())])
    assert scores(run, "total") == {}


def test_a_set_that_is_too_small_says_so_and_is_not_asked_again(tmp_path: Path) -> None:
    testset = small_testset(tmp_path, count=1)
    run, metric = new_run(testset, tmp_path), total(Brightness())
    for _ in range(2):
        score_runs(testset, tmp_path / "results", [metric])
    assert metric.calls == [1]
    value, note = scores(run, "total")[""]
    assert math.isnan(value)
    assert note == "It needs two."


def test_values_of_sets_not_asked_for_stay_while_the_pictures_do(
    testset: TestSet, tmp_path: Path
) -> None:
    brightness = Brightness()
    run = new_run(testset, tmp_path)
    score_runs(testset, tmp_path / "results", [total(brightness)])
    score_runs(testset, tmp_path / "results", [darkening(brightness)])
    assert "" in scores(run, "total")
    run.write({next(iter(testset.entries)): picture(999)}, seconds=1.0, evaluations=0)
    score_runs(testset, tmp_path / "results", [darkening(brightness)])
    assert scores(run, "total") == {}


def test_both_protocols_in_one_pass(testset: TestSet, tmp_path: Path) -> None:
    brightness = Brightness()
    metric = Against("against", "Against", True, "", 1, 0)
    run = new_run(testset, tmp_path)
    score_runs(testset, tmp_path / "results", [metric, total(brightness)], [STRICT, PAPER])
    assert sum(brightness.calls) == 3 * 4  # pictures as they are and as JPEG; originals once
    strict, paper = scores(run, metric.key), scores(run, metric.under(PAPER).key)
    lr = {image: testset.lr(image) for image in testset.entries}
    for index, image in enumerate(testset.entries):
        sr = picture(100 + index)
        assert strict[image][0] == pytest.approx(sr.mean() - 1000 * lr[image].mean())
        assert paper[image][0] == pytest.approx(through_jpeg(sr).mean() - 1000 * lr[image].mean())
    assert scores(run, total(brightness).under(PAPER).key)[""] != scores(run, "total")[""]


class TotalOfItself(Total):
    compared_with: ClassVar[Reference] = "itself"

    @property
    def identity(self) -> str:
        return "total of itself"


def test_a_set_without_originals_is_measured_by_what_needs_none(tmp_path: Path) -> None:
    recipe = replace(RECIPE, ground_truth=False)
    plan = plan_testset("tiny", recipe)
    world = prepared(plan, photos(tmp_path / "photos"), tmp_path / plan.name, recipe=recipe).testset
    run, brightness = new_run(world, tmp_path), Brightness()
    itself = TotalOfItself("itself", "Itself", True, "", 1, 0, brightness)
    score_runs(world, tmp_path / "results", [itself, total(Brightness())], [STRICT, PAPER])
    assert brightness.calls == [4, 4]  # as they are and as JPEG
    table = run.scores()
    assert table is not None
    assert list(table["metric"]) == ["itself", "itself"]
    sr = [picture(100 + i) for i in range(4)]
    sums = [sum(kept(p).mean() for p in sr) for kept in (np.asarray, through_jpeg)]
    assert list(table["value"]) == pytest.approx([-999 * value for value in sums])


def test_repetitions_are_compared_once_for_each_pair(testset: TestSet, tmp_path: Path) -> None:
    runs = [new_run(testset, tmp_path, repetition) for repetition in range(3)]
    metric = AgainstRepetitions("div", "Div", True, "", 1, 0)
    score_runs(testset, tmp_path / "results", [metric])
    tables = [run.scores() for run in runs]
    assert [0 if table is None else len(table) for table in tables] == [0, 4, 8]
    second = scores(runs[1], metric.key)["face-2"][0]
    assert second == pytest.approx(picture(112).mean() - 1000 * picture(102).mean())


def test_features_that_are_damaged_are_named(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.write("one", "a" * 64, {"mean": np.ones(2, np.float32)})
    assert cache.has("one", "a" * 64)
    assert not cache.has("two", "a" * 64)
    np.testing.assert_array_equal(cache.read("one", "a" * 64)["mean"], [1, 1])
    (file,) = tmp_path.rglob("*.npz")
    for damaged in (b"", b"PK\3\4", file.read_bytes()[:-30]):
        file.write_bytes(damaged)
        with pytest.raises(BenchError, match=r"npz is damaged .*: remove it and evaluate again"):
            cache.read("one", "a" * 64)


def test_features_and_values_that_are_not_numbers(testset: TestSet, tmp_path: Path) -> None:
    class Broken(Brightness):
        def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
            return [{"mean": np.array([np.nan], np.float32)} for _ in pictures]

    class Undefined(Against):
        def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
            return [math.nan, *super()._values(sr, hr)[1:]]

    run = new_run(testset, tmp_path)
    with pytest.raises(BenchError, match=r"Total: the features of .*face-0\.png are not finite"):
        score_runs(testset, tmp_path / "results", [total(Broken())])
    score_runs(testset, tmp_path / "results", [Undefined("u", "U", True, "", 1, 0)])
    notes = [note for _, note in scores(run, "against lr").values()]
    assert notes == ["the value is not a number", "", "", ""]


@pytest.mark.parametrize("lost", ["hr/face-1.png", "lr/face-1.png"])
def test_a_missing_counterpart_is_named(testset: TestSet, tmp_path: Path, lost: str) -> None:
    run = new_run(testset, tmp_path)
    (testset.folder / lost).unlink()
    columns = (Against("a", "A", True, "", 1, 0), total(Brightness()))
    with pytest.raises(BenchError, match=f"{lost} can't be read: No such file"):
        score_runs(testset, tmp_path / "results", columns)
    assert run.scores() is None


def test_keys_tell_jpeg_from_png() -> None:
    metric = total(Brightness())
    assert metric.key == metric.identity == metric.under(STRICT).key
    assert "JPEG quality 75 4:2:0" in metric.under(PAPER).key
    assert kept_as(Brightness(), jpeg=True) != kept_as(Brightness(), jpeg=False)
    assert replace(metric, jpeg=True) == metric.under(PAPER)


@dataclass(frozen=True)
class Pairs(SetMetric):
    """The sum of products of the means of pictures and of their own originals."""

    of: Brightness

    @property
    def identity(self) -> str:
        return "pairs"

    @property
    def extractor(self) -> Brightness:
        return self.of

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        rows = range(len(sr))
        return float((sr.rows("mean", rows) * hr.rows("mean", rows)).sum())


@dataclass(frozen=True)
class WithError(Total):
    """A total whose error is measured too."""

    @property
    def error(self) -> Pairs:
        return Pairs("total-error", "Error", False, "", 1, 0, self.of)


def test_the_error_of_a_set_s_value_is_measured_with_it(testset: TestSet, tmp_path: Path) -> None:
    run = new_run(testset, tmp_path)
    brightness = Brightness()
    metric = WithError("total", "Total", True, "", 1, 0, brightness)
    score_runs(testset, tmp_path / "results", [metric])
    scores = run.scores()
    assert scores is not None
    found = scores.set_index("identity")["value"]
    expected = sum(
        float(np.float32(picture(100 + i).mean())) * float(np.float32(testset.hr(name).mean()))
        for i, name in enumerate(testset.entries)
    )
    assert found["pairs"] == pytest.approx(expected)
    assert sum(brightness.calls) == 8  # every picture and original once, for both
