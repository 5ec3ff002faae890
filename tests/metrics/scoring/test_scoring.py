"""Scoring the store: only what is lacking, and nothing that is known is lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from bench.images import Pixels
from bench.metrics import Metric
from bench.metrics.scoring.evaluate import score_runs
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from tests.small import picture, small_testset


@dataclass(frozen=True)
class Brightness(Metric):
    """Mean difference to the original; counts the pictures of each call."""

    reason: str | None = None
    calls: list[int] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> str:
        return self.name

    def unavailable(self) -> str | None:
        return self.reason

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        self.calls.append(len(sr))
        return [float(s.mean() - h.mean()) for s, h in zip(sr, hr, strict=True)]


def metric(name: str = "one", reason: str | None = None) -> Brightness:
    return Brightness(name, name, True, "", 1, 0, reason)


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


@pytest.fixture
def run(testset: TestSet, tmp_path: Path) -> Run:
    return new_run(testset, tmp_path)


def new_run(testset: TestSet, root: Path, of: str | None = None, seed: int = 0) -> Run:
    """A run with a picture for every image of the test set."""
    spec = RunSpec("m", 1, {}, of or testset.manifest.sha256, {}, seed)
    run = Run.open(root / "results", testset.name, "M", spec, {})
    made = {image: picture(100 + seed + index) for index, image in enumerate(testset.entries)}
    run.write(made, seconds=1.0, evaluations=0)
    return run


def score(testset: TestSet, root: Path, *metrics: Metric) -> None:
    score_runs(testset, root / "results", metrics)


def scores(run: Run) -> dict[tuple[str, str], float]:
    """(metric, image) -> value."""
    table = run.scores()
    assert table is not None
    assert not table.duplicated(["metric", "image"]).any()
    return dict(zip(zip(table["metric"], table["image"], strict=True), table["value"], strict=True))


def test_every_picture_of_every_run_is_compared_with_its_original(
    testset: TestSet, tmp_path: Path
) -> None:
    runs = [new_run(testset, tmp_path, seed=seed) for seed in (0, 10)]
    score(testset, tmp_path, metric())
    for run, seed in zip(runs, (0, 10), strict=True):
        found = scores(run)
        assert list(found) == [("one", image) for image in testset.entries]
        for index, value in enumerate(found.values()):
            expected = picture(100 + seed + index).mean() - picture(index).mean()
            assert value == pytest.approx(expected)


def test_only_what_is_lacking_is_computed(run: Run, testset: TestSet, tmp_path: Path) -> None:
    first, second = metric("one"), metric("two")
    score(testset, tmp_path, first)
    score(testset, tmp_path, first)
    assert first.calls == [4]
    score(testset, tmp_path, first, second)
    assert (first.calls, second.calls) == ([4], [4])
    changed = list(testset.entries)[2]
    before = scores(run)
    run.write({changed: picture(999)}, seconds=1.0, evaluations=0)
    score(testset, tmp_path, first, second)
    assert (first.calls, second.calls) == ([4, 1], [4, 1])
    after = scores(run)
    assert {key for key in before if before[key] != after[key]} == {
        ("one", changed),
        ("two", changed),
    }


def test_a_metric_that_is_not_asked_for_or_unavailable_keeps_its_scores(
    run: Run, testset: TestSet, tmp_path: Path
) -> None:
    score(testset, tmp_path, metric("one"), metric("two"))
    before = scores(run)
    score(testset, tmp_path, metric("one"))
    assert scores(run) == before
    score(testset, tmp_path, metric("one", "no weights"), metric("two", "no weights"))
    assert scores(run) == before
    again = metric("two")
    score(testset, tmp_path, again)
    assert again.calls == []


def test_kept_scores_of_a_picture_that_changed_are_dropped(
    run: Run, testset: TestSet, tmp_path: Path
) -> None:
    score(testset, tmp_path, metric("one"), metric("two"))
    changed = next(iter(testset.entries))
    run.write({changed: picture(999)}, seconds=1.0, evaluations=0)
    score(testset, tmp_path, metric("one"))
    assert ("two", changed) not in scores(run)
    assert len(scores(run)) == 4 + 3


def test_a_picture_that_is_missing_has_no_score(run: Run, testset: TestSet, tmp_path: Path) -> None:
    lost = list(testset.entries)[1]
    run.picture(lost).unlink()
    score(testset, tmp_path, metric())
    assert [image for _, image in scores(run)] == [i for i in testset.entries if i != lost]


def test_an_unavailable_metric_gives_no_scores(run: Run, testset: TestSet, tmp_path: Path) -> None:
    score(testset, tmp_path, metric("one", "no weights"))
    assert scores(run) == {}
    score(testset, tmp_path, metric("one"))
    assert len(scores(run)) == 4
    assert np.isfinite(list(scores(run).values())).all()


def test_runs_on_another_test_set_of_that_name_are_left_alone(
    testset: TestSet, tmp_path: Path
) -> None:
    other = new_run(testset, tmp_path, of="0" * 64)
    score(testset, tmp_path, metric())
    assert other.scores() is None
