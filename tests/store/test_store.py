"""The store: identities, pictures and records that vouch for each other."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import BenchError
from bench.core.files import SEAL, Journal, sha256_file
from bench.core.tables import read_table, write_table
from bench.core.validation import build
from bench.images import Pixels, read_image
from bench.store.run import Run, list_runs
from bench.store.schema import TEXTS, Record, RunSpec
from tests.small import picture

SPEC = RunSpec(
    method="dpi",
    revision=1,
    settings={"steps": 50, "tau": 100.0, "pair": (1, 2)},
    testset="0" * 64,
    weights={"prior": "a" * 64, "corrector": "b" * 64},
    seed=0,
)
IMAGES = ("b", "a", "c")

CHANGES: dict[str, Any] = {
    "method": "ddnm",
    "revision": 2,
    "settings": {"steps": 51, "tau": 100.0, "pair": (1, 2)},
    "testset": "1" * 64,
    "weights": {"prior": "c" * 64, "corrector": "b" * 64},
    "seed": 1,
    "repetition": 1,
    "precision": "bfloat16",
}


def open_run(results: Path, spec: RunSpec = SPEC, provenance: str = "here") -> Run:
    return Run.open(results, "faces", "DPI", spec, {"commit": provenance})


def pictures(*images: str) -> Mapping[str, Pixels]:
    return {image: picture(ord(image)) for image in images}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return open_run(tmp_path)


def test_the_identity_changes_with_every_field() -> None:
    assert CHANGES.keys() == {field.name for field in fields(RunSpec)}
    others = [replace(SPEC, **{name: value}) for name, value in CHANGES.items()]
    assert len({spec.identity for spec in [SPEC, *others]}) == len(CHANGES) + 1


def test_the_identity_is_that_of_what_run_json_gives_back() -> None:
    reordered = dict(reversed(list(SPEC.settings.items())))
    assert replace(SPEC, settings=reordered).identity == SPEC.identity
    assert build(RunSpec, json.loads(json.dumps(asdict(SPEC))), "x").identity == SPEC.identity


def test_a_run_says_what_it_is_before_anything_is_done(run: Run, tmp_path: Path) -> None:
    assert run.folder == tmp_path / "faces" / f"dpi-{SPEC.identity[:12]}"
    description = json.loads((run.folder / "run.json").read_text())
    assert len(description.pop(SEAL)) == 64
    assert description == {
        "format": 1,
        "identity": SPEC.identity,
        "title": "DPI",
        "spec": json.loads(json.dumps(asdict(SPEC))),
        "provenance": {"commit": "here"},
    }
    assert run.spec.identity == SPEC.identity
    assert not run.finished
    assert run.records() == {}


def test_the_same_identity_is_opened_again_and_not_overwritten(run: Run, tmp_path: Path) -> None:
    before = (run.folder / "run.json").read_bytes()
    again = open_run(tmp_path, provenance="elsewhere")
    assert again.folder == run.folder
    assert (run.folder / "run.json").read_bytes() == before


def test_another_identity_lies_elsewhere(run: Run, tmp_path: Path) -> None:
    others = [open_run(tmp_path, replace(SPEC, **{k: v})).folder for k, v in CHANGES.items()]
    assert len({run.folder, *others}) == len(CHANGES) + 1
    found = list_runs(tmp_path, "faces")
    assert [r.folder for r in found] == sorted([run.folder, *others])
    assert list_runs(tmp_path, "other") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": {**asdict(SPEC), "seed": 5}}, "does not match the run in its folder: remove"),
        ({"spec": {**asdict(SPEC), "seed": "5"}}, r"run\.json is damaged, or another version's"),
        ({"spec": None}, r"run\.json is damaged, or another version's: spec is absent or wrong"),
        ({"format": 2}, "was written by another version of bench: remove it and run again"),
    ],
)
def test_a_run_json_that_is_another_runs_or_damaged_is_refused(
    run: Run, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    file = run.folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(BenchError, match=message):
        open_run(tmp_path)


def test_a_torn_run_json_is_refused(run: Run, tmp_path: Path) -> None:
    (run.folder / "run.json").write_text("{")
    with pytest.raises(BenchError, match=r"run\.json is damaged .*: it should hold a run's descr"):
        open_run(tmp_path)


def test_what_was_written_is_on_record(run: Run) -> None:
    run.write(pictures("b", "a"), seconds=1.5, evaluations=50)
    run.write(pictures("c"), seconds=0.5, evaluations=49)
    np.testing.assert_array_equal(read_image(run.picture("a")), picture(ord("a")))
    assert run.records() == {
        "b": Record("b", sha256_file(run.picture("b")), 1.5, 50),
        "a": Record("a", sha256_file(run.picture("a")), 1.5, 50),
        "c": Record("c", sha256_file(run.picture("c")), 0.5, 49),
    }


@pytest.mark.parametrize("finished", [False, True])
def test_a_picture_that_is_lost_or_changed_is_not_on_record(run: Run, finished: bool) -> None:
    run.write(pictures(*IMAGES), seconds=1.0, evaluations=1)
    if finished:
        run.finish(IMAGES, {})
    run.picture("a").unlink()
    run.picture("b").write_bytes(run.picture("c").read_bytes())
    assert list(run.records()) == ["c"]


def test_a_picture_without_a_record_is_not_on_record(run: Run) -> None:
    # Killed between the picture and its line in the journal.
    run.write(pictures("a", "b"), seconds=1.0, evaluations=1)
    journal = run.folder / "records.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert list(run.records()) == ["a"]


def test_finishing_makes_a_table_in_the_test_sets_order(run: Run) -> None:
    run.write(pictures("a", "c", "b"), seconds=1.0, evaluations=7)
    before = run.records()
    run.finish(IMAGES, {"peak_memory_bytes": 123})
    assert run.finished
    assert run.description["outcome"] == {"peak_memory_bytes": 123}
    assert Run(run.folder).description == run.description
    assert list(run.records().items()) == [(image, before[image]) for image in IMAGES]
    assert not (run.folder / "records.jsonl").exists()


def test_a_finished_run_is_reopened_with_what_is_intact(run: Run) -> None:
    run.write(pictures(*IMAGES), seconds=1.0, evaluations=1)
    run.finish(IMAGES, {})
    before = run.records()
    run.picture("b").unlink()
    run.reopen()
    assert not run.finished
    assert run.records() == {image: before[image] for image in ("a", "c")}
    run.write(pictures("b"), seconds=1.0, evaluations=1)
    run.finish(IMAGES, {})
    assert run.records() == before


def test_failures_are_kept_with_the_last_reason_until_the_image_is_there(run: Run) -> None:
    run.note_failures({})
    assert not list(run.folder.glob("failures*"))
    run.note_failures({"a": "first", "b": "no face"})
    run.note_failures({"a": "second"})
    run.write(pictures("c"), seconds=1.0, evaluations=1)
    assert run.failures(run.records()) == {"a": "second", "b": "no face"}
    run.finish(IMAGES, {})
    assert list(run.failures(run.records()).items()) == [("b", "no face"), ("a", "second")]
    assert not (run.folder / "failures.jsonl").exists()
    run.reopen()
    run.write(pictures("b"), seconds=1.0, evaluations=1)
    run.note_failures({"a": "third"})
    assert run.failures(run.records()) == {"a": "third"}
    run.finish(IMAGES, {})
    assert run.failures(run.records()) == {"a": "third"}
    run.reopen()
    run.write(pictures("a"), seconds=1.0, evaluations=1)
    run.finish(IMAGES, {})
    assert run.failures(run.records()) == {}
    assert not (run.folder / "failures.parquet").exists()


def test_a_run_without_any_picture_can_be_finished(run: Run) -> None:
    run.note_failures(dict.fromkeys(IMAGES, "too dark"))
    run.finish(IMAGES, {})
    assert run.finished
    assert run.records() == {}


def test_a_kill_while_a_finished_run_is_reopened_loses_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(pictures(*IMAGES), seconds=1.0, evaluations=1)
    run.finish(IMAGES, {})
    before = run.records()

    def killed(journal: Journal, records: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            run.reopen()
    assert Run(run.folder).records() == before


def test_restoring_a_picture_twice_keeps_the_latter(run: Run) -> None:
    run.write({"a": picture(1)}, seconds=1.0, evaluations=1)
    run.write({"a": picture(2)}, seconds=2.0, evaluations=2)
    assert run.records() == {"a": Record("a", sha256_file(run.picture("a")), 2.0, 2)}


def test_records_of_another_version_are_refused(run: Run) -> None:
    (run.folder / "records.jsonl").write_text('{"image": "a", "hash": "0"}\n')
    with pytest.raises(BenchError, match=r"a record of .* is damaged, or another version's"):
        run.records()


def test_scores_are_absent_before_the_first(run: Run) -> None:
    assert run.scores() is None
    table = pd.DataFrame({"image": ["a"], "value": [float("inf")]})
    run.write_scores(table.assign(**dict.fromkeys(TEXTS[1:], "x")))
    found = run.scores()
    assert found is not None
    pd.testing.assert_frame_equal(found[["image", "value"]], table)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"<html>"])
def test_a_damaged_table_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(BenchError, match=r"x\.parquet is damaged \(.*\): remove it and run again"):
        read_table(tmp_path / "x.parquet")


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, pd.DataFrame({"a": [1]}))
    before = path.read_bytes()
    with pytest.raises(Exception, match="Conversion failed"):
        write_table(path, pd.DataFrame({"a": [1, "x", None]}))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]
