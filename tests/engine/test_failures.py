"""Images that a method fails on: what is recorded, what goes on, what is tried again."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import bench.methods.catalogue
from bench.core.errors import BenchError
from bench.engine.executors.local import ThisProcess, Worker
from bench.engine.executors.work import Assignment, Outcome, Unit
from bench.engine.experiment import Experiment
from bench.methods import Problem
from bench.store.run import Run
from bench.testsets.manifest import TestSet
from tests.noisy import Bench, Noisy, Strength, pictures
from tests.small import picture, small_testset

Spoil = Callable[[Tensor], Any]


@dataclass
class Failing(Noisy):
    """Gives what `spoil` makes of the whole batch, wherever one of the images `bad` is in it."""

    bad: frozenset[str] = frozenset({"face-2"})
    broken: Spoil = lambda x: x
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def restore(self, problem: Problem, settings: Strength) -> Tensor:
        self.calls.append(tuple(problem.images))
        restored = super().restore(problem, settings)
        return self.broken(restored) if self.bad & set(problem.images) else restored


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=5)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, testset: TestSet, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, testset, tmp_path / "results")


def raises(error: BaseException) -> Spoil:
    def spoil(x: Tensor) -> Tensor:
        raise error

    return spoil


def with_nan(x: Tensor) -> Tensor:
    x[-1, 2, 3, 3] = torch.nan
    return x


BROKEN: list[tuple[Spoil, str]] = [
    (with_nan, "noisy returned values that are not finite numbers."),
    (lambda x: x / 0, "noisy returned values that are not finite numbers."),
    (
        lambda x: x[..., ::2],
        "noisy returned a tensor of shape [1, 3, 16, 8], not [1, 3, 16, 16].",
    ),
    (lambda x: x[:0], "noisy returned a tensor of shape [0, 3, 16, 16], not [1, 3, 16, 16]."),
    (lambda x: x[:, :1], "noisy returned a tensor of shape [1, 1, 16, 16], not [1, 3, 16, 16]."),
    (lambda x: x.double(), "noisy returned torch.float64, not torch.float32."),
    (lambda x: x.half(), "noisy returned torch.float16, not torch.float32."),
    (lambda x: x.numpy(), "noisy returned ndarray, not a tensor."),
    (lambda x: None, "noisy returned NoneType, not a tensor."),
    (raises(BenchError("no face in it.")), "no face in it."),
]


@pytest.mark.parametrize(("broken", "reason"), BROKEN)
def test_an_image_that_fails_costs_no_other(
    harness: Bench, tmp_path: Path, broken: Spoil, reason: str
) -> None:
    whole = pictures(
        Bench(harness.monkeypatch, harness.testset, tmp_path / "whole").run(Noisy()).run.folder
    )
    finished = harness.run(Failing(broken=broken), batch=5)
    assert (finished.restored, finished.failed) == (4, {"face-2": reason})
    assert finished.run.finished
    assert finished.run.failures(finished.run.records()) == {"face-2": reason}
    del whole["face-2.png"]
    assert pictures(finished.run.folder) == whole


def test_an_error_of_the_program_is_told_with_its_place(harness: Bench) -> None:
    finished = harness.run(Failing(broken=raises(KeyError("key"))))
    assert list(finished.failed) == ["face-2"]
    assert finished.failed["face-2"].startswith(f"KeyError: 'key' ({__file__}, line ")
    long = harness.run(Failing(broken=raises(ValueError("x y\n" * 1000))), seed=1)
    assert len(long.failed["face-2"]) <= 500
    assert "\n" not in long.failed["face-2"]


def test_a_batch_that_fails_is_halved_down_to_its_culprit(harness: Bench) -> None:
    failing = Failing(broken=with_nan)
    harness.run(failing, batch=5)
    names = [f"face-{i}" for i in range(5)]
    assert failing.calls == [
        *(tuple(names), tuple(names[:2]), tuple(names[2:4])),
        *((names[2],), (names[3],), (names[4],)),
    ]


def test_the_next_run_tries_again_and_forgets_what_succeeds(harness: Bench) -> None:
    both = frozenset({"face-1", "face-2"})
    first = harness.run(Failing(bad=both, broken=with_nan))
    assert list(first.failed) == ["face-1", "face-2"]
    failing = Failing(broken=raises(BenchError("another reason")))
    again = harness.run(failing)
    assert failing.calls == [("face-1", "face-2"), ("face-1",), ("face-2",)]
    assert (again.restored, again.failed) == (1, {"face-2": "another reason"})
    assert again.run.failures(again.run.records()) == {"face-2": "another reason"}
    last = harness.run(Noisy())
    assert (last.restored, last.failed) == (1, {})
    assert last.run.failures(last.run.records()) == {}
    assert not list(last.run.folder.glob("failures*"))
    assert harness.run(Noisy()).restored == 0


def test_a_run_that_fails_on_everything_is_on_record(harness: Bench) -> None:
    everything = frozenset(harness.testset.entries)
    finished = harness.run(Failing(bad=everything, broken=with_nan))
    assert finished.failed.keys() == everything
    assert finished.run.finished
    assert finished.run.records() == {}


def test_failures_are_known_while_the_run_goes_on(harness: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        harness.run(Failing(bad=frozenset({"face-0"}), broken=with_nan, stop_at=4))
    (folder,) = (harness.results / harness.testset.name).iterdir()
    assert Run(folder).failures({}).keys() == {"face-0"}
    assert not Run(folder).finished


def test_strict_stops_at_the_first_and_keeps_what_is_done(harness: Bench) -> None:
    failing = Failing(broken=with_nan)
    told = "^noisy failed on 1 image: face-2: noisy returned values that are not finite numbers"
    with pytest.raises(BenchError, match=told):
        harness.run(failing, fail_fast=True)
    assert failing.calls[-1] == ("face-3",)  # of the batch that was begun
    (folder,) = (harness.results / harness.testset.name).iterdir()
    assert set(pictures(folder)) == {"face-0.png", "face-1.png", "face-3.png"}
    assert not Run(folder).finished


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_to_be_stopped_is_no_failure(harness: Bench, error: BaseException) -> None:
    with pytest.raises(type(error)):
        harness.run(Failing(broken=raises(error)))
    (folder,) = (harness.results / harness.testset.name).iterdir()
    assert Run(folder).failures({}) == {}


def test_a_device_that_fails_is_no_failure_of_an_image(harness: Bench) -> None:
    error = torch.AcceleratorError("CUDA error: device-side assert triggered")
    with pytest.raises(
        BenchError, match=r"The device failed \(CUDA error: .*run the same command to continue"
    ):
        harness.run(Failing(broken=raises(error)))


# Memory


def exhaust(x: Tensor) -> Tensor:
    return torch.empty(2**60, dtype=torch.uint8)  # what no machine has


@dataclass
class Hungry(Noisy):
    """Has memory for `room` images at a time."""

    room: int = 2
    broken: Spoil = exhaust

    def restore(self, problem: Problem, settings: Strength) -> Tensor:
        restored = super().restore(problem, settings)
        return self.broken(restored) if len(problem.lr) > self.room else restored


WANTS = [
    exhaust,
    raises(MemoryError()),
    raises(torch.OutOfMemoryError("CUDA out of memory.")),
    raises(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
]


@pytest.mark.parametrize("broken", WANTS)
def test_a_want_of_memory_halves_this_batch_and_all_that_follow(
    harness: Bench, broken: Spoil
) -> None:
    hungry = Hungry(broken=broken, room=1)
    finished = harness.run(hungry, batch=3)
    assert finished.failed == {}
    assert finished.restored == 5
    assert hungry.batches == [3, 1, 1, 1, 1, 1]
    roomy = Hungry(broken=broken, room=2)
    assert harness.run(roomy, batch=5, seed=1).restored == 5
    assert roomy.batches == [5, 2, 2, 1]


def test_one_image_that_does_not_fit_has_failed(harness: Bench) -> None:
    finished = harness.run(Hungry(room=0))
    assert finished.failed.keys() == set(harness.testset.entries)
    assert "can't allocate memory" in finished.failed["face-0"]


def test_another_failure_leaves_the_batch_as_it_is(harness: Bench) -> None:
    failing = Failing(bad=frozenset({"face-0"}), broken=with_nan)
    harness.run(failing, batch=2)
    assert failing.batches == [2, 1, 1, 2, 1]


# What passes between driver and worker


@pytest.fixture
def assignment(harness: Bench) -> Assignment:
    harness.monkeypatch.setattr(
        bench.methods.catalogue, "find_method", lambda name: Noisy().method()
    )
    settings = {"noisy": {"strength": 0.5}}
    return (
        Experiment(harness.testset, harness.results, settings, seed=3).resolve("noisy").assignment()
    )


def test_everything_that_passes_can_be_sent_elsewhere(
    assignment: Assignment, testset: TestSet
) -> None:
    images = ("face-0", "face-1")
    unit = Unit(images, tuple(testset.lr(image) for image in images))
    sent: Assignment = pickle.loads(pickle.dumps(assignment))
    assert sent == assignment
    outcome = Worker(sent, torch.device("cpu")).restore(pickle.loads(pickle.dumps(unit)))
    back: Outcome = pickle.loads(pickle.dumps(outcome))
    (part,) = back.restored
    here = Worker(assignment, torch.device("cpu")).restore(unit)
    for image in images:
        np.testing.assert_array_equal(part.pictures[image], here.restored[0].pictures[image])


def test_a_unit_is_split_in_its_order() -> None:
    unit = Unit(("a", "b", "c"), (picture(1), picture(2), picture(3)))
    parts = unit.split(2)
    assert [part.images for part in parts] == [("a", "b"), ("c",)]
    np.testing.assert_array_equal(parts[1].lr[0], picture(3))


def test_files_that_changed_since_the_run_was_named_are_refused(assignment: Assignment) -> None:
    changed = Assignment(**{**vars(assignment), "hashes": {"prior": "0" * 64}})
    with (
        pytest.raises(BenchError, match=r"noisy: prior is not what it was where the run began"),
        ThisProcess().ready(changed),
    ):
        pass
