"""The driver: what it computes, what it takes from an earlier table, and in which order."""

import gc
import math
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench.images
from bench.core.errors import BenchError
from bench.core.files import sha256_file, write_bytes
from bench.images import Pixels, encode_png
from bench.metrics import Metric, find
from bench.metrics.features.cache import FeatureCache
from bench.metrics.scoring.batching import COLUMNS, Rows, Wanted
from bench.metrics.scoring.batching import evaluate as evaluate_tables
from bench.metrics.scoring.compute import Picture, Task
from tests.asked import asked


@dataclass(frozen=True)
class Counting(Metric):
    """The picture's first value less the original's; counts the pictures of each call."""

    version: int = 1
    calls: list[int] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> str:
        return f"{self.name} {self.version}"

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        self.calls.append(len(sr))
        return [float(s.flat[0]) - float(h.flat[0]) for s, h in zip(sr, hr, strict=True)]


def counting(name: str = "counting") -> Counting:
    return Counting(name, name.title(), higher_is_better=True, unit="", digits=1, place=0)


@dataclass(frozen=True)
class Pair:
    """A picture and its original on disk, with the sha256 of each file."""

    image: str
    sr: Path
    hr: Path
    sr_sha256: str
    hr_sha256: str

    def task(self, metric: Metric) -> Task:
        sr, hr = Picture(self.sr, self.sr_sha256), Picture(self.hr, self.hr_sha256)
        return Task(self.image, metric, metric.key, sr, hr)


def evaluate(
    pairs: Sequence[Pair],
    metrics: Sequence[Metric],
    cached: pd.DataFrame | None,
    keep: Callable[[Rows], None] = lambda rows: None,
) -> pd.DataFrame:
    """Every pair by every metric."""
    tasks = [pair.task(metric) for pair in pairs for metric in metrics]
    (table,) = evaluate_tables([asked(tasks, cached, keep)], FeatureCache(Path("nowhere")))
    return table


class Tracked(np.ndarray[Any, np.dtype[np.uint8]]):
    """A picture that can be looked for, as plain arrays can't be in a set."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


def picture(path: Path, value: int, size: int = 8) -> Path:
    write_bytes(path, encode_png(np.full((size, size, 3), value, np.uint8)))
    return path


def pair(folder: Path, image: str, sr: int, hr: int = 10) -> Pair:
    one, two = picture(folder / f"{image}-sr.png", sr), picture(folder / f"{image}-hr.png", hr)
    return Pair(image, one, two, sha256_file(one), sha256_file(two))


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    return [pair(tmp_path, name, value) for name, value in [("b", 13), ("a", 11), ("c", 12)]]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file is read."""
    counts: Counter[Path] = Counter()
    read = bench.images.read_image

    def counted(path: Path, digest: str | None = None) -> Pixels:
        counts[path] += 1
        return read(path, digest)

    monkeypatch.setattr("bench.metrics.scoring.compute.read_image", counted)
    return counts


def test_rows_in_the_order_asked_for(pairs: list[Pair]) -> None:
    table = evaluate(pairs, [counting("y"), counting("x")], None)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["image"]) == ["b", "b", "a", "a", "c", "c"]
    assert list(table["metric"]) == ["y", "x"] * 3
    assert list(table["identity"]) == ["y 1", "x 1"] * 3
    assert list(table["value"]) == [3, 3, 1, 1, 2, 2]
    assert table["value"].dtype == np.float64
    assert list(table["sr_sha256"][::2]) == [p.sr_sha256 for p in pairs]
    assert list(table["reference_sha256"][::2]) == [p.hr_sha256 for p in pairs]


def test_each_file_is_decoded_once_for_all_metrics(
    pairs: list[Pair], decoded: Counter[Path]
) -> None:
    evaluate(pairs, [counting("x"), counting("y")], None)
    assert decoded == Counter([p.sr for p in pairs] + [p.hr for p in pairs])


def test_nothing_is_computed_twice(pairs: list[Pair], decoded: Counter[Path]) -> None:
    metric = counting()
    first = evaluate(pairs, [metric], None)
    decoded.clear()
    again = evaluate(pairs[::-1], [metric], first)
    assert metric.calls == [3]
    assert not decoded
    assert list(again["image"]) == ["c", "a", "b"]
    assert list(again["value"]) == [2, 1, 3]


def test_a_new_metric_leaves_the_old_values(pairs: list[Pair]) -> None:
    old, new = counting("old"), counting("new")
    first = evaluate(pairs, [old], None)
    table = evaluate(pairs, [old, new], first)
    assert (old.calls, new.calls) == ([3], [3])
    assert len(table) == 6


@pytest.mark.parametrize("side", ["sr", "hr"])
def test_a_changed_file_is_computed_anew(pairs: list[Pair], side: str) -> None:
    metric = counting()
    first = evaluate(pairs, [metric], None)
    path = picture(getattr(pairs[1], side), 50)
    changed = {f"{side}_sha256": sha256_file(path)}
    pairs[1] = Pair(**{**vars(pairs[1]), **changed})
    table = evaluate(pairs, [metric], first)
    assert metric.calls == [3, 1]
    assert table["value"][1] == (40 if side == "sr" else -39)


def test_a_changed_identity_is_computed_anew(pairs: list[Pair]) -> None:
    metric = counting()
    first = evaluate(pairs, [metric], None)
    newer = replace(metric, version=2, calls=[])
    table = evaluate(pairs, [newer], first)
    assert newer.calls == [3]
    assert list(table["identity"]) == ["counting 2"] * 3


def test_an_absent_value_is_computed(pairs: list[Pair]) -> None:
    metric = counting()
    first = evaluate(pairs, [metric], None)
    first.loc[0, "value"] = math.nan
    assert list(evaluate(pairs, [metric], first)["value"]) == [3, 1, 2]
    assert metric.calls == [3, 1]


def test_equal_files_are_computed_once(tmp_path: Path) -> None:
    metric = counting()
    same = [pair(tmp_path, name, 12) for name in "ab"]
    assert list(evaluate(same, [metric], None)["value"]) == [2, 2]
    assert metric.calls == [1]


def test_memory_stays_flat(tmp_path: Path) -> None:
    metric = counting()
    many = [pair(tmp_path, str(number), number) for number in range(40)]
    table = evaluate(many, [metric], None)
    assert metric.calls == [32, 8]
    assert list(table["value"]) == [number - 10 for number in range(40)]


def test_a_chunk_s_pictures_are_forgotten_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Tracked] = weakref.WeakSet()
    most = []
    read = bench.images.read_image

    def tracked(path: Path, digest: str | None = None) -> Pixels:
        pixels = read(path, digest).view(Tracked)
        alive.add(pixels)
        most.append(len(alive))
        return pixels

    monkeypatch.setattr("bench.metrics.scoring.compute.read_image", tracked)
    many = [pair(tmp_path, str(number), number) for number in range(100)]
    evaluate(many, [counting("x"), counting("y")], None)
    assert len(most) == 200
    assert max(most) == 64
    assert not alive


def test_a_killed_evaluation_loses_one_chunk(tmp_path: Path) -> None:
    many = [pair(tmp_path, str(number), number) for number in range(40)]
    kept: Rows = []

    def killed_by_the_second(rows: Rows) -> None:
        if len(kept) == 32:
            raise KeyboardInterrupt
        kept.extend(rows)

    with pytest.raises(KeyboardInterrupt):
        evaluate(many, [counting()], None, killed_by_the_second)
    metric = counting()
    table = evaluate(many, [metric], pd.DataFrame(kept))
    assert metric.calls == [8]
    assert list(table["value"]) == [number - 10 for number in range(40)]


def tables_of_runs(
    folder: Path, metric: Metric, runs: int, images: int
) -> tuple[list[Wanted], list[Rows]]:
    """What runs with other results for the same originals want; and where their rows go."""
    tables = []
    kept: list[Rows] = [[] for _ in range(runs)]
    originals = [picture(folder / f"{image}.png", 10 + image) for image in range(images)]
    for run in range(runs):
        of_run = [
            Pair(str(image), sr, hr, sha256_file(sr), sha256_file(hr))
            for image, hr in enumerate(originals)
            for sr in [picture(folder / str(run) / f"{image}.png", 100 + run)]
        ]
        tasks = [of_image.task(metric) for of_image in of_run]
        tables.append(asked(tasks, keep=kept[run].extend))
    return tables, kept


def test_runs_share_one_pass_and_each_keeps_its_own_rows(
    tmp_path: Path, decoded: Counter[Path]
) -> None:
    metric = counting()
    tables, kept = tables_of_runs(tmp_path, metric, runs=5, images=12)
    found = evaluate_tables(tables, FeatureCache(tmp_path))
    assert metric.calls == [50, 10]  # ten images, with their originals 60 files of 64
    assert set(decoded.values()) == {1}
    assert len(decoded) == 6 * 12
    for run, (table, rows) in enumerate(zip(found, kept, strict=True)):
        assert list(table["image"]) == [str(image) for image in range(12)]
        assert list(table["value"]) == [90 + run - image for image in range(12)]
        assert rows == table.to_dict("records")


def test_more_runs_than_fit_into_a_chunk_are_taken_apart(
    tmp_path: Path, decoded: Counter[Path]
) -> None:
    metric = counting()
    tables, _ = tables_of_runs(tmp_path, metric, runs=70, images=2)
    evaluate_tables(tables, FeatureCache(tmp_path))
    assert metric.calls == [63, 7, 63, 7]
    assert decoded[tmp_path / "0.png"] == 2


def test_equal_results_of_two_runs_are_computed_once(tmp_path: Path) -> None:
    metric = counting()
    (table, _), kept = tables_of_runs(tmp_path, metric, runs=2, images=2)
    same: Rows = []
    twin = asked(list(table.tasks()), keep=same.extend)
    one, other = evaluate_tables([table, twin], FeatureCache(tmp_path))
    assert metric.calls == [2]
    assert same == kept[0] == one.to_dict("records") == other.to_dict("records")


def test_a_run_that_is_known_is_not_measured_beside_others(tmp_path: Path) -> None:
    metric = counting()
    tables, kept = tables_of_runs(tmp_path, metric, runs=3, images=2)
    list(evaluate_tables(tables[:2], FeatureCache(tmp_path)))
    found = list(evaluate_tables(tables, FeatureCache(tmp_path)))
    assert metric.calls == [4, 2]
    assert [list(table["value"]) for table in found] == [[90, 89], [91, 90], [92, 91]]
    assert [len(rows) for rows in kept] == [2, 2, 2]


def test_no_table_lies_in_memory_while_pictures_are_measured(pairs: list[Pair]) -> None:
    metric = counting()
    half = evaluate(pairs[:1], [metric], None)
    given: list[weakref.ref[pd.DataFrame]] = []
    alive: list[int] = []

    def known() -> pd.DataFrame:
        table = pd.concat([half, *more])
        given.append(weakref.ref(table))
        return table

    def keep(rows: Rows) -> None:
        gc.collect()
        alive.append(sum(table() is not None for table in given))
        more.append(pd.DataFrame(rows))

    more: list[pd.DataFrame] = []
    wanted = Wanted(lambda: [pair.task(metric) for pair in pairs], known, keep)
    (table,) = evaluate_tables([wanted], FeatureCache(Path("nowhere")))
    assert list(table["value"]) == [3, 1, 2]
    assert (len(given), alive) == (2, [0])


def test_nothing_to_do_gives_an_empty_table() -> None:
    table = evaluate([], [counting()], None)
    assert len(table) == 0
    assert list(table.columns) == list(COLUMNS)
    assert table["value"].dtype == np.float64


def test_the_table_survives_parquet(pairs: list[Pair], tmp_path: Path) -> None:
    pairs[0] = pair(tmp_path, "b", 13, hr=13)  # equal to its picture: an infinite PSNR
    table = evaluate(pairs, [find("psnr")], None)
    table.to_parquet(tmp_path / "table.parquet")
    read = pd.read_parquet(tmp_path / "table.parquet")
    assert read["value"][0] == math.inf
    pd.testing.assert_frame_equal(evaluate(pairs, [find("psnr")], read), table)


def test_sizes_that_differ_name_the_files(pairs: list[Pair]) -> None:
    small = sha256_file(picture(pairs[2].sr, 12, size=4))
    pairs[2] = replace(pairs[2], sr_sha256=small)
    with pytest.raises(BenchError, match=r"c-sr\.png is 4x4 but its original .*c-hr\.png is 8x8"):
        evaluate(pairs, [counting()], None)


@pytest.mark.parametrize("side", ["sr", "hr"])
def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(pairs: list[Pair], side: str) -> None:
    path = picture(getattr(pairs[2], side), 50)
    with pytest.raises(BenchError, match=f"{path.name} has changed since it was written"):
        evaluate(pairs, [counting()], None)


def test_a_table_of_another_kind_is_refused(pairs: list[Pair]) -> None:
    with pytest.raises(BenchError, match="lack identity, value, note: delete"):
        evaluate(pairs, [counting()], pd.DataFrame(columns=["image", "metric", *COLUMNS[3:5]]))
