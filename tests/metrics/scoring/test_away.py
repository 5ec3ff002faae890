"""Scoring elsewhere: what travels by pickle, and that the values are those of scoring here."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.metrics import find_measure
from bench.metrics.base import FeatureMetric
from bench.metrics.features.cache import FeatureCache
from bench.metrics.features.extractor import Features
from bench.metrics.scoring.batching import evaluate
from bench.metrics.scoring.compute import Picture, Task
from bench.metrics.scoring.remote import unpack_and_score
from tests.asked import asked
from tests.small import photos


class Elsewhere:
    """A `map` whose function is given copies, while the files are out of the way."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, list[Any]()

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            sent = pickle.dumps(item)
            away = self.folder.rename(self.folder.with_name("away"))
            try:
                result = pickle.loads(pickle.dumps(function(pickle.loads(sent))))
            finally:
                away.rename(self.folder)
            self.results.append(result)
            yield result


class Brightness:
    """An extractor: the mean of each colour."""

    identity = "brightness"

    def extract(self, pictures: Any, device: str = "cpu") -> list[Features]:
        return [{"mean": p.mean((0, 1))} for p in pictures]


class Shift(FeatureMetric):
    """How far the mean colour has moved."""

    @property
    def extractor(self) -> Any:
        return Brightness()

    @property
    def identity(self) -> str:
        return "shift"

    def unavailable(self) -> None:
        return None

    def compare(self, sr: Features, reference: Features) -> float:
        return float(abs(sr["mean"] - reference["mean"]).sum())


SHIFT = Shift("shift", "Shift", higher_is_better=False, unit="", digits=2, place=0)


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    photos(tmp_path / "pictures", 80)
    files = sorted((tmp_path / "pictures").iterdir())
    pictures = [Picture(path, sha256_file(path)) for path in files]
    measures = (find_measure("psnr"), SHIFT)
    return [
        Task(sr.path.stem, measure, measure.key, sr, pictures[0])
        for sr in pictures[1:]
        for measure in measures
    ]


def test_values_are_those_of_scoring_here(tasks: list[Task], tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "pictures")
    kept: list[Any] = []
    wanted = asked(tasks, keep=kept.extend)
    (there,) = evaluate([wanted], FeatureCache(tmp_path / "there"), elsewhere)
    (here,) = evaluate([asked(tasks)], FeatureCache(tmp_path / "here"))
    assert there.equals(here)
    assert len(there) == len(kept) == 79 * 2
    files = [sorted(p.name for p in (tmp_path / d).rglob("*.npz")) for d in ("here", "there")]
    assert files[0] == files[1]
    assert len(files[0]) == 80


def test_features_that_are_known_travel_and_are_not_made_again(
    tasks: list[Task], tmp_path: Path
) -> None:
    elsewhere, features = Elsewhere(tmp_path / "pictures"), FeatureCache(tmp_path / "features")
    evaluate([asked(tasks)], features, elsewhere)
    first, second = (len(new) for _, new in elsewhere.results)
    assert (first, second) == (64, 16)  # the second chunk was sent the reference's
    evaluate([asked(tasks)], features, elsewhere)
    assert [len(new) for _, new in elsewhere.results[2:]] == [0, 0]


def test_another_version_of_a_metric_is_refused(tasks: list[Task], tmp_path: Path) -> None:
    others = [replace(task, identity="other") for task in tasks]
    spread = Elsewhere(tmp_path / "pictures")
    with pytest.raises(BenchError, match="No PSNR on a machine of the cluster: its packages or"):
        evaluate([asked(others)], FeatureCache(tmp_path), spread)
    assert unpack_and_score.__module__ == "bench.metrics.scoring.remote"  # what workers import
