"""Running a method: what is kept, what is resumed, what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import bench.methods.catalogue
from bench.engine.experiment import Experiment
from bench.images import encode_png
from bench.methods import Method, Problem
from bench.testsets.manifest import TestSet
from tests.noisy import Bench, Noisy, Strength, pictures
from tests.running import run_method
from tests.small import picture, small_testset


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=5)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, testset: TestSet, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, testset, tmp_path / "results")


def undisturbed(harness: Bench, tmp_path: Path) -> dict[str, bytes]:
    other = Bench(harness.monkeypatch, harness.testset, tmp_path / "undisturbed")
    return pictures(other.run(Noisy()).run.folder)


def test_every_image_is_restored_once(harness: Bench) -> None:
    noisy = Noisy()
    finished = harness.run(noisy)
    assert (finished.restored, noisy.batches) == (5, [2, 2, 1])
    assert finished.run.finished
    assert list(finished.run.records()) == list(harness.testset.entries)
    assert set(pictures(finished.run.folder)) == {f"face-{seed}.png" for seed in range(5)}
    again = harness.run(noisy)
    assert (again.restored, again.run.folder) == (0, finished.run.folder)
    assert "resumed" not in again.run.description
    assert noisy.batches == [2, 2, 1]


def test_what_was_run_is_on_record(harness: Bench) -> None:
    run = harness.run(Noisy(), seed=7, revision=3).run
    assert (run.spec.method, run.spec.revision, run.spec.seed) == ("noisy", 3, 7)
    assert run.spec.settings == {"strength": 0.1}
    assert run.spec.testset == harness.testset.manifest.sha256
    assert run.spec.weights == {}
    assert run.description["title"] == "Noisy"
    facts = run.description["provenance"]
    assert facts["packages"]["torch"] == torch.__version__
    assert (facts["weights"], facts["not_promised"]) == ({}, [])
    assert run.description["outcome"]["peak_memory_bytes"] > 2**20  # a process with torch in it
    assert all(record.seconds and record.seconds > 0 for record in run.records().values())


def test_batches_do_not_matter_but_everything_of_the_identity_does(harness: Bench) -> None:
    first = harness.run(Noisy())
    assert harness.run(Noisy(), batch=5).run.folder == first.run.folder
    for changed in ({"seed": 1}, {"strength": 0.2}, {"revision": 2}):
        other = harness.run(Noisy(), **changed)
        assert other.restored == 5
        same = {"revision"} & changed.keys()  # a revision is a claim, which the test does not make
        assert (pictures(other.run.folder) == pictures(first.run.folder)) == bool(same)


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_the_pictures_do_not_depend_on_the_batch(
    harness: Bench, tmp_path: Path, batch: int
) -> None:
    assert pictures(harness.run(Noisy(), batch=batch).run.folder) == undisturbed(harness, tmp_path)


def test_a_stopped_run_is_taken_up_with_the_rest(harness: Bench, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        harness.run(Noisy(stop_at=2))
    (folder,) = (harness.results / harness.testset.name).iterdir()
    assert set(pictures(folder)) == {"face-0.png", "face-1.png"}
    noisy = Noisy()
    finished = harness.run(noisy)
    assert (finished.restored, noisy.batches) == (3, [2, 1])
    assert finished.run.folder == folder
    assert pictures(folder) == undisturbed(harness, tmp_path)
    # The other machine or code that went on with it is known too.
    (resumed,) = finished.run.description["resumed"]
    assert resumed.keys() == finished.run.description["provenance"].keys()


@pytest.mark.parametrize("lost", [["face-3"], ["face-0", "face-4"]])
def test_lost_and_damaged_pictures_are_restored_again(
    harness: Bench, tmp_path: Path, lost: list[str]
) -> None:
    run = harness.run(Noisy()).run
    for image in lost:
        run.picture(image).write_bytes(encode_png(picture(99)))
    finished = harness.run(Noisy())
    assert finished.restored == len(lost)
    assert finished.run.finished
    assert pictures(run.folder) == undisturbed(harness, tmp_path)


def test_a_run_stopped_while_mending_a_finished_one_loses_nothing(
    harness: Bench, tmp_path: Path
) -> None:
    run = harness.run(Noisy()).run
    run.picture("face-3").unlink()
    with pytest.raises(KeyboardInterrupt):
        harness.run(Noisy(stop_at=0))
    assert harness.run(Noisy()).restored == 1
    assert pictures(run.folder) == undisturbed(harness, tmp_path)


def test_a_picture_that_another_machine_restores_a_little_differently_is_kept(
    harness: Bench,
) -> None:
    run = harness.run(Noisy()).run
    run.picture("face-3").unlink()
    assert harness.run(Noisy(spoil=lambda x: 0.9 * x)).restored == 1
    assert harness.run(Noisy()).restored == 0
    assert list(run.records()) == list(harness.testset.entries)


def test_a_method_that_hides_a_need_is_told(harness: Bench) -> None:
    def restore(problem: Problem, settings: Strength) -> Tensor:
        return problem.prior.predict(problem.lr, 0).x0_hat

    method = Method("noisy", "Noisy", lambda scale: Strength(), restore)
    harness.monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: method)
    done = run_method("noisy", Experiment(harness.testset, harness.results, batch=2))
    reason = "The method uses a prior, but its `needs` does not name it."
    assert done.failed == dict.fromkeys(harness.testset.entries, reason)
