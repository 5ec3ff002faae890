"""From the store to tables: which runs, in which order, under which label, with which scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics import base
from bench.report.renderers.plain import to_markdown
from bench.report.tables import collect
from bench.report.tables.collect import INCOMPLETE, ONE_REPETITION
from bench.report.tables.runs import find_runs, run_labels
from bench.report.tables.table import NOT_MEASURED, Table
from bench.store.reading import Reading
from bench.store.run import Run, set_sha256
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from tests.small import picture, small_testset


def readings(runs: Sequence[Run]) -> list[Reading]:
    """Read runs anew, since a reading does not see later changes."""
    return [Reading(run.folder) for run in runs]


def table_of(testset: TestSet, runs: Sequence[Run], *words: Any, **options: Any) -> Table:
    return collect.table_of(testset, readings(runs), *words, **options)


def strip_of(testset: TestSet, runs: Sequence[Run], faces: int) -> Pixels:
    return collect.strip_of(testset, readings(runs), faces)


@dataclass(frozen=True)
class Stated(base.Measure):
    """A column whose properties are given."""

    stated_key: str
    kind: Literal["image", "set", "run"] = "image"
    compared: base.Reference = "hr"
    reason: str | None = None

    @property
    def per(self) -> Literal["image", "set", "run"]:  # type: ignore[override]
        return self.kind

    @property
    def reference(self) -> base.Reference:
        return self.compared

    @property
    def identity(self) -> str:
        return self.stated_key

    def unavailable(self) -> str | None:
        return self.reason


def measure(name: str, key: str, **stated: Any) -> Stated:
    """Return a column of PSNR's kind, or as stated."""
    psnr: dict[str, Any] = {"higher_is_better": True, "digits": 2, "unit": "dB", "place": 0}
    return Stated(name, name.upper(), stated_key=key, **{**psnr, **stated})


PSNR = measure("psnr", "psnr 1")
COSTS = {"seconds", "evaluations"}  # known of every run


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


@dataclass
class Store:
    """Makes runs on a test set below a folder."""

    testset: TestSet
    results: Path

    def run(self, method: str, images: int = 4, of: str | None = None, **facts: Any) -> Run:
        spec = RunSpec(
            method=method,
            revision=facts.get("revision", 1),
            settings=facts.get("settings", {}),
            testset=of or self.testset.manifest.sha256,
            weights=facts.get("weights", {}),
            seed=facts.get("seed", 0),
            repetition=facts.get("repetition", 0),
        )
        run = Run.open(self.results, self.testset.name, method.upper(), spec, {})
        names = list(self.testset.entries)[:images]
        made = {
            name: picture(100 + index + 10 * spec.repetition) for index, name in enumerate(names)
        }
        run.write(made, seconds=1.0, evaluations=0)
        return run

    def find(self, *methods: str) -> list[str]:
        found = find_runs(self.testset, self.results, methods, ("ilvr", "dpi"))
        return [run.spec.method for run in found]


@pytest.fixture
def store(testset: TestSet, tmp_path: Path) -> Store:
    return Store(testset, tmp_path / "results")


def score(run: Run, identity: str = "psnr 1", first: float = 20.0) -> None:
    """Scores of every picture: 20, 21 and so on."""
    records = run.records().values()
    rows = [(r.image, identity, r.sha256, "", first + index, "") for index, r in enumerate(records)]
    write(run, rows)


def write(run: Run, rows: list[tuple[Any, ...]]) -> None:
    columns = ["image", "identity", "sr_sha256", "reference_sha256", "value", "note"]
    run.write_scores(pd.DataFrame(rows, columns=columns))


def test_runs_come_in_the_order_of_bench_toml_and_others_behind(store: Store) -> None:
    for method in ("ddnm", "bicubic", "dpi", "ilvr"):
        store.run(method)
    assert store.find() == ["ilvr", "dpi", "bicubic", "ddnm"]
    assert store.find("ddnm", "dpi") == ["ddnm", "dpi"]


def test_repetitions_stand_together_in_their_order(store: Store) -> None:
    for repetition in (2, 0, 1):
        for steps in (20, 50):
            store.run("dpi", settings={"steps": steps}, repetition=repetition)
    runs = [run.spec for run in find_runs(store.testset, store.results, (), ())]
    assert [spec.repetition for spec in runs] == [0, 1, 2] * 2
    assert len({spec.settings["steps"] for spec in runs[:3]}) == 1


def test_runs_on_another_test_set_of_that_name_are_left_out(store: Store) -> None:
    store.run("dpi", of="0" * 64)
    store.run("ilvr")
    assert store.find() == ["ilvr"]


def test_what_was_not_run_is_named(store: Store) -> None:
    with pytest.raises(BenchError, match=r"no results on tiny-16-x4: `bench run` first\."):
        store.find()
    store.run("dpi")
    with pytest.raises(BenchError, match=r"no results of ddnm, ilvr on tiny-16-x4: `bench run`"):
        store.find("dpi", "ddnm", "ilvr")


def test_failures_are_notes_by_their_reasons(store: Store) -> None:
    store.run("ilvr")
    run = store.run("dpi", images=1)
    run.note_failures({"face-1": "no face.", "face-3": "no face.", "face-2": "too dark"})
    table = table_of(store.testset, [run], [PSNR])
    assert (table.rows[0].images_done, table.images) == (1, 4)
    assert table.notes == (
        "DPI failed on 2 of the images, such as face-1: no face.",
        "DPI failed on 1 of the images, such as face-2: too dark.",
    )


def test_a_label_tells_runs_of_a_method_apart_and_no_more(store: Store) -> None:
    runs = [
        store.run("dpi", settings={"steps": 20, "sampler": "ddim", "k": 2}),
        store.run("dpi", settings={"steps": 50, "sampler": "ddpm", "k": 2}),
        store.run("ilvr", settings={"steps": 20}),
    ]
    assert run_labels(runs) == [
        "DPI (steps 20, sampler ddim)",
        "DPI (steps 50, sampler ddpm)",
        "ILVR",
    ]


def test_a_variant_is_called_by_its_name_in_place_of_its_settings(store: Store) -> None:
    runs = [
        store.run("dpi", settings={"tau": 0.0, "steps": 20, "correction": "refined"}),
        store.run("dpi", settings={"tau": 100.0, "steps": 20, "correction": "refined"}),
        store.run("dpi", settings={"tau": 100.0, "steps": 50, "correction": "none"}),
    ]
    runs[0].note_variants({"w/o Stage II": ["tau"]})
    runs[2].note_variants({"w/o CRT": ["correction"]})
    assert run_labels(runs) == [
        "DPI w/o Stage II (steps 20)",
        "DPI (steps 20)",
        "DPI w/o CRT (steps 50)",
    ]
    assert run_labels([Run(runs[0].folder), runs[1]]) == ["DPI w/o Stage II", "DPI"]
    other = store.run("dpi", settings={"tau": 200.0, "steps": 20, "correction": "refined"})
    assert run_labels([runs[1], other, runs[0]])[:2] == ["DPI (tau 100)", "DPI (tau 200)"]


def test_runs_of_a_method_come_by_their_settings_and_variants_behind(store: Store) -> None:
    for tau in (1000, 0.0, 200.0, 30):
        run = store.run("dpi", settings={"tau": tau, "form": "paper"})
        run.note_variants({"w/o Stage II": ["tau"]} if tau == 0 else {})
    store.run("dpi", settings={"tau": 50.0, "form": "a"})
    found = find_runs(store.testset, store.results, (), ())
    assert [run.spec.settings["tau"] for run in found] == [30, 50, 200, 1000, 0]


def test_a_single_run_is_named_by_its_folder(store: Store) -> None:
    runs = [store.run("dpi", settings={"tau": tau}) for tau in (1, 2)]
    store.run("ilvr")
    assert store.find(runs[1].folder.name[:8], "ilvr") == ["dpi", "ilvr"]
    (found,) = find_runs(store.testset, store.results, (runs[1].folder.name,), ())
    assert found.spec == runs[1].spec
    like = runs[0].folder.name[:8]  # a method may be called like the beginning of a folder
    store.run(like)
    assert store.find(like) == [like]
    for no_run in ("dp", "dpi-zzz", "il", "ilvr_"):
        with pytest.raises(BenchError, match=f"no results of {no_run} on"):
            store.find(no_run)


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({"seed": 0}, {"seed": 1}, ["M (seed 0)", "M (seed 1)"]),
        ({"revision": 1}, {"revision": 2}, ["M (revision 1)", "M (revision 2)"]),
        (
            {"weights": {"prior": "a" * 64}},
            {"weights": {"prior": "b" * 64}},
            ["M (prior aaaaaaaa)", "M (prior bbbbbbbb)"],
        ),
    ],
)
def test_seed_revision_and_weights_tell_runs_apart(
    store: Store, one: dict[str, Any], other: dict[str, Any], labels: list[str]
) -> None:
    assert run_labels([store.run("m", **one), store.run("m", **other)]) == labels


def test_methods_on_different_noise_are_told(store: Store) -> None:
    runs = [store.run("dpi", seed=1), store.run("ilvr", seed=2), store.run("ddnm", seed=2)]
    assert run_labels(runs) == ["DPI (seed 1)", "ILVR (seed 2)", "DDNM (seed 2)"]


def test_labels_tell_what_differs_in_the_same_method_inside(store: Store) -> None:
    def inside(method: str, **settings: Any) -> Run:
        enhancer = {"method": method, "revision": 1, "settings": settings}
        return store.run("m", settings={"tau": 22, "enhancer": enhancer})

    runs = [inside("a", w=0.5, n=1), inside("a", w=0.7, n=1), inside("b", s=3)]
    assert run_labels(runs) == [
        "M (enhancer a, a w 0.5)",
        "M (enhancer a, a w 0.7)",
        "M (enhancer b)",
    ]


def test_the_table_has_what_is_measured(testset: TestSet, store: Store) -> None:
    runs = [store.run("dpi"), store.run("ilvr", images=3)]
    score(runs[0], first=20.0)
    score(runs[1], first=30.0)
    table = table_of(testset, runs, [PSNR])
    assert (table.test_set, table.scale, table.images, table.seed) == ("tiny, 16 px", 4, 4, 0)
    assert [(c.name, c.title, c.unit) for c in table.columns] == [("psnr", "PSNR", "dB")]
    first, second = table.rows
    assert (first.name, first.title, first.images_done) == ("dpi", "DPI", 4)
    assert dict(first.scores["psnr"]) == {f"face-{i}": 20.0 + i for i in range(4)}
    assert (second.name, second.images_done) == ("ilvr", 3)
    assert dict(second.scores["psnr"]) == {f"face-{i}": 30.0 + i for i in range(3)}


def test_a_test_set_with_a_name_of_its_own_is_called_by_it(testset: TestSet, store: Store) -> None:
    named = TestSet(testset.folder.with_name("mine"), testset.manifest)
    assert table_of(named, [store.run("dpi")], [PSNR]).test_set == "mine"


def test_scores_by_another_version_of_a_metric_are_left_out(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    score(run, identity="psnr 0")
    assert table_of(testset, [run], [PSNR]).rows[0].scores.keys() == COSTS


def test_scores_of_a_picture_that_changed_since_are_left_out(
    testset: TestSet, store: Store
) -> None:
    run = store.run("dpi")
    score(run)
    run.write({"face-1": picture(999)}, seconds=1.0, evaluations=0)
    (row,) = table_of(testset, [run], [PSNR]).rows
    assert row.scores["psnr"].keys() == {"face-0", "face-2", "face-3"}
    assert row.images_done == 4


def test_a_run_without_scores_has_none(testset: TestSet, store: Store) -> None:
    assert table_of(testset, [store.run("dpi")], [PSNR]).rows[0].scores.keys() == COSTS


def test_an_unavailable_metric_is_absent_with_its_reason(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    score(run, identity="lpips 1")
    lpips = measure("lpips", "lpips 1", reason="no weights")
    (row,) = table_of(testset, [run], [PSNR, lpips]).rows
    assert row.scores.keys() == COSTS
    assert row.missing == {"lpips": "no weights"}


FID = measure("fid", "fid 1", kind="set")


def test_the_value_of_a_set_counts_for_these_very_pictures(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    files = set_sha256(r.sha256 for r in run.records().values())
    write(run, [("", "fid 1", files, "", 7.5, ""), ("", "fid 1", "0" * 64, "", 9.5, "")])
    assert table_of(testset, [run], [FID]).rows[0].whole == {"fid": 7.5}
    run.write({"face-1": picture(999)}, seconds=1.0, evaluations=0)
    assert table_of(testset, [run], [FID]).rows[0].whole == {}


def test_a_set_is_the_whole_test_set(testset: TestSet, store: Store) -> None:
    run = store.run("dpi", images=3)
    files = set_sha256(r.sha256 for r in run.records().values())
    write(run, [("", "fid 1", files, "", 7.5, "")])
    (row,) = table_of(testset, [run], [FID]).rows
    assert (row.whole, row.missing) == ({}, {"fid": INCOMPLETE})


def test_why_a_value_is_none_is_told(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    files = [r.sha256 for r in run.records().values()]
    rows = [(f"face-{i}", "psnr 1", files[i], "", 20.0 + i, "") for i in range(3)]
    lost = ("face-3", "psnr 1", files[3], "", math.nan, "no face was found")
    few = ("", "fid 1", set_sha256(files), "", math.nan, "Too few.")
    write(run, [*rows, lost, few])
    (row,) = table_of(testset, [run], [PSNR, FID]).rows
    assert row.scores["psnr"] == {"face-0": 20.0, "face-1": 21.0, "face-2": 22.0}
    assert row.undefined == {"psnr": {"face-3": "no face was found"}}
    assert row.missing == {"fid": "Too few."}


@dataclass(frozen=True)
class Sum(Stated):
    """A column derived from PSNR's mean and FID."""

    of: tuple[base.Measure, ...] = (PSNR, FID)

    @property
    def parts(self) -> tuple[base.Measure, ...]:
        return self.of

    def combined(self, values: Sequence[float]) -> float:
        psnr, fid = values
        return psnr + 100 * fid


SUM = Sum("sum", "SUM", True, "", 2, 0, stated_key="sum 1", kind="set")


def test_a_derived_column_is_made_of_its_parts(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    files = [r.sha256 for r in run.records().values()]
    rows = [(f"face-{i}", "psnr 1", files[i], "", 20.0 + i, "") for i in range(4)]
    write(run, [*rows, ("", "fid 1", set_sha256(files), "", 7.5, "")])
    (row,) = table_of(testset, [run], [SUM]).rows
    assert row.whole == {"sum": 21.5 + 750}  # 20 to 23 have the mean 21.5
    assert "sum" not in row.missing


def test_a_derived_column_is_a_dash_without_a_part(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    score(run)
    (row,) = table_of(testset, [run], [SUM]).rows
    assert row.whole == {}
    assert row.missing == {"sum": "Its part FID is missing: run `bench evaluate`."}
    lacking = replace(SUM, of=(PSNR, measure("fid", "fid 1", reason="no weights")))
    assert table_of(testset, [run], [lacking]).rows[0].missing == {"sum": "no weights"}
    incomplete = store.run("ilvr", images=3)
    score(incomplete)
    assert table_of(testset, [incomplete], [SUM]).rows[0].missing == {"sum": INCOMPLETE}


def test_a_pair_of_repetitions_counts_for_both(testset: TestSet, store: Store) -> None:
    diversity = measure("diversity", "diversity 1", compared="repetitions")
    runs = [store.run("dpi", repetition=number) for number in range(3)]
    files = [[r.sha256 for r in run.records().values()] for run in runs]
    write(runs[1], [("face-0", "diversity 1", files[1][0], files[0][0], 0.1, "")])
    write(
        runs[2],
        [
            ("face-0", "diversity 1", files[2][0], files[0][0], 0.2, ""),
            ("face-0", "diversity 1", files[2][0], files[1][0], 0.6, ""),
            ("face-0", "diversity 1", files[2][0], "0" * 64, 9.9, ""),
        ],
    )
    (row,) = table_of(testset, runs, [diversity]).rows
    assert (row.title, len(row.repetitions)) == ("DPI", 3)
    assert row.scores["diversity"] == {"face-0": pytest.approx(0.3)}
    # It is of all of them, so that a spread between them would be nonsense.
    ((cell,),) = table_of(testset, runs, [diversity]).cells
    assert cell.spread is None
    alone = table_of(testset, [store.run("ilvr")], [diversity]).rows[0]
    assert alone.missing == {"diversity": ONE_REPETITION}


def test_what_runs_cost_is_read_from_the_store(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    run.finish(list(testset.entries), {"peak_memory_bytes": 3 * 2**29})
    table = table_of(testset, [run, store.run("ilvr")], [PSNR], costs=True)
    assert [column.name for column in table.columns] == [
        "psnr",
        "seconds",
        "evaluations",
        "memory",
    ]
    (_, *cells_of_dpi), (_, *cells_of_ilvr) = table.cells
    assert [cell.value for cell in cells_of_dpi] == [1.0, 0.0, 1.5]
    assert [cell.value for cell in cells_of_ilvr] == [1.0, 0.0, None]


def test_what_nobody_measured_is_no_cost(testset: TestSet, store: Store) -> None:
    run = store.run("imported")
    run.write(dict.fromkeys(testset.entries, picture(1)), seconds=None, evaluations=None)
    (row,) = table_of(testset, [run], [PSNR], costs=True).cells
    assert [(cell.value, cell.reason) for cell in row[1:]] == [(None, NOT_MEASURED)] * 3


def test_scores_of_another_version_are_refused(testset: TestSet, store: Store) -> None:
    run = store.run("dpi")
    run.write_scores(pd.DataFrame({"image": [], "sr_sha256": [], "identity": [], "value": []}))
    with pytest.raises(
        BenchError, match=r"scores\.parquet lacks reference_sha256, note, as written by another"
    ):
        table_of(testset, [run], [PSNR])


def test_the_strip_has_a_column_per_run_and_a_gap_for_a_face_not_done(
    testset: TestSet, store: Store
) -> None:
    runs = [store.run("dpi"), store.run("ilvr", images=1)]
    both, one = strip_of(testset, runs, faces=2), strip_of(testset, runs[:1], faces=2)
    assert both.shape[0] == one.shape[0]
    columns = both.shape[1] - one.shape[1]
    assert one.shape[1] // columns == 3  # LR, DPI, GT
    np.testing.assert_array_equal(both[:, : 2 * columns], one[:, : 2 * columns])
    grey = (225, 225, 225)  # what the strip shows where there is no picture
    column = both[:, 2 * columns : 3 * columns]
    middle = column[:, columns // 2]
    assert not (middle[: len(middle) // 2] == grey).all(axis=-1).any()
    assert (middle[-columns // 2] == grey).all()
    assert strip_of(testset, runs, faces=99).shape[0] > both.shape[0]


def exact_scores(run: Run, *exact: int) -> None:
    """PSNR 20, 21 and so on, infinite for these images."""
    rows = [
        (r.image, "psnr 1", r.sha256, "", math.inf if i in exact else 20.0 + i, "")
        for i, r in enumerate(run.records().values())
    ]
    write(run, rows)


def test_an_exact_result_is_noted_and_left_out_of_every_mean(
    testset: TestSet, store: Store
) -> None:
    one, other = store.run("ilvr"), store.run("ddnm")
    exact_scores(one, 0)
    exact_scores(other)
    made = table_of(testset, [one, other], [PSNR])
    assert [cell[0].value for cell in made.cells] == [22, 22]  # of 21, 22 and 23
    assert [cell[0].mark.value for cell in made.cells] == ["best", "best"]
    first = next(iter(testset.entries))
    assert (
        f"PSNR of ILVR: infinite, since the result equals its reference, in 1 of the 4 images "
        f"({first})." in to_markdown(made)
    )


def test_results_that_are_all_exact_have_an_infinite_mean(testset: TestSet, store: Store) -> None:
    one, other = store.run("ilvr"), store.run("ddnm")
    exact_scores(one, 0, 1, 2, 3)
    exact_scores(other)
    made = table_of(testset, [one, other], [PSNR])
    assert [cell[0].value for cell in made.cells] == [math.inf, 21.5]
