"""Two at once on the same store, and readers during a write."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import bench.core.tables
import bench.methods.catalogue
import bench.metrics.scoring.batching
import bench.metrics.scoring.evaluate
import bench.store.run
from bench import metrics
from bench.core.errors import BenchError
from bench.core.files import Journal
from bench.core.locks import locked
from bench.engine.experiment import Experiment
from bench.engine.run import Finished
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem
from bench.metrics.scoring.evaluate import score_runs
from bench.sharing.audit import differences_of
from bench.store.run import Run
from bench.testsets.manifest import TestSet
from bench.training.processes import exclusive
from tests.running import run_method
from tests.small import small_testset


@dataclass(frozen=True)
class NoSettings:
    """Of a method that has nothing to set."""


HELD_UP = 3
"""Seconds that the first of two waits for the second to say that it waits; then nobody does."""


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What those who wait say; `waits` is set then."""
    return []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> threading.Event:
    event = threading.Event()

    def notice(text: str) -> None:
        said.append(text)
        event.set()

    for room in (bench.store.run, bench.metrics.scoring.evaluate):
        monkeypatch.setattr(room, "notice", notice)
    return event


def both(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    """Run two things at once; what either raises is raised here."""
    failed: list[BaseException] = []

    def run(one: Callable[[], Any]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=run, args=[one]) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for error in failed:
        raise error


def run(testset: TestSet, results: Path) -> Finished:
    return run_method("bicubic", Experiment(testset, results, batch=1))


def test_the_second_of_two_runs_waits_and_finds_all_done(
    testset: TestSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: threading.Event,
    said: list[str],
) -> None:
    restored: Counter[str] = Counter()

    def restore(problem: Problem, settings: NoSettings) -> Tensor:
        waits.wait(HELD_UP)
        restored.update(problem.images)
        return resize_bicubic_batch(problem.lr, problem.size)

    slow = Method("bicubic", "Bicubic", lambda scale: NoSettings(), restore)
    monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: slow)
    finished: list[Finished] = []

    def one() -> None:
        finished.append(run(testset, tmp_path / "results"))

    both(one, one)
    assert restored == Counter(list(testset.entries))  # each of them once
    assert sorted(item.restored for item in finished) == [0, 4]
    assert len(said) == 1
    assert said[0].endswith(f"is working in {finished[0].run.folder}: waiting for it to finish.")
    assert differences_of(finished[0].run) == []
    assert "resumed" not in finished[0].run.description


def test_of_two_evaluations_neither_loses_the_scores_of_the_other(
    testset: TestSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: threading.Event
) -> None:
    results = tmp_path / "results"
    item = run(testset, results)
    begun = threading.Event()

    def slow(*arguments: Any) -> Any:
        if not begun.is_set():
            begun.set()
            waits.wait(HELD_UP)
        return bench.metrics.scoring.batching.evaluate(*arguments)

    monkeypatch.setattr(bench.metrics.scoring.evaluate, "evaluate", slow)

    def second() -> None:
        begun.wait(HELD_UP)
        score_runs(testset, results, [metrics.find("ssim")])

    both(lambda: score_runs(testset, results, [metrics.find("psnr")]), second)
    scores = item.run.scores()
    assert scores is not None
    assert sorted(scores["metric"].unique()) == ["psnr", "ssim"]
    assert len(scores) == 8
    assert waits.is_set()


def written(testset: TestSet, results: Path) -> Run:
    """A run whose pictures are there, and which is not finished."""
    item = run(testset, results)
    item.run.reopen()
    assert not item.run.finished
    return Run(item.run.folder)


def test_a_reader_finds_all_records_while_the_journal_becomes_a_table_and_back(
    testset: TestSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = (written(testset, tmp_path / "results") for _ in range(2))
    images = list(testset.entries)
    read = Journal.read

    def read_late(journal: Journal) -> list[dict[str, Any]]:
        monkeypatch.undo()
        writer.finish(images, {})
        return read(journal)

    monkeypatch.setattr(Journal, "read", read_late)
    assert list(reader.records()) == images

    def read_table_late(path: Path) -> Any:
        monkeypatch.undo()
        writer.reopen()
        return bench.core.tables.read_table(path)

    monkeypatch.setattr(bench.store.run, "read_table", read_table_late)
    assert list(reader.records()) == images


def test_a_reader_finds_all_scores_while_these_become_a_table(
    testset: TestSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = run(testset, tmp_path / "results")
    score_runs(testset, tmp_path / "results", [metrics.find("psnr")])
    whole = item.run.scores()
    assert whole is not None
    (item.run.folder / "scores.parquet").unlink()
    item.run.note_scores(whole.to_dict("records"))
    exists = Path.exists

    def exists_before(path: Path) -> bool:
        there = exists(path)
        if path.name == "scores.parquet":
            monkeypatch.undo()
            item.run.write_scores(whole)
        return there

    monkeypatch.setattr(Path, "exists", exists_before)
    scores = Run(item.run.folder).scores()
    assert scores is not None
    assert len(scores) == 4
    item.run.note_scores(whole.to_dict("records"))  # as a kill leaves it: in both
    assert len(item.run.scores()) == 4  # type: ignore[arg-type]


def test_what_a_kill_leaves_of_a_journal_beside_its_table_goes(
    testset: TestSet, tmp_path: Path
) -> None:
    item = run(testset, tmp_path / "results")
    journal = item.run.folder / "records.jsonl"
    journal.write_text("")
    assert run(testset, tmp_path / "results").restored == 0
    assert not journal.exists()


def test_trainings_that_share_their_work_do_not_wait_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with locked(tmp_path / "log", pytest.fail):
        with (
            pytest.raises(BenchError, match=r"is working in .*: give another --out"),
            exclusive(tmp_path / "log"),
        ):
            pass
        monkeypatch.setenv("RANK", "1")  # the first of them holds it for all
        with exclusive(tmp_path / "log"):
            pass
