"""What runs will cost: counts are exact, times are near, what is done costs nothing."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import bench.methods.catalogue
from bench.diffusion.corrector import Corrector
from bench.diffusion.sr3 import SR3UNet
from bench.diffusion.unet import UNet
from bench.engine import forecast
from bench.engine.executors import work
from bench.engine.experiment import Experiment
from bench.engine.forecast import Forecast, forecast_suite
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem, find_method
from bench.networks.checkpoints import Card, write_checkpoint
from bench.testsets.manifest import TestSet
from bench.testsets.recipe import plan_testset
from tests.command import good
from tests.running import run_method
from tests.small import (
    RECIPE,
    TINY_CORRECTOR,
    TINY_PRIOR,
    TINY_SR3,
    photos,
    prepared,
    small_testset,
)

QUICK: dict[str, dict[str, Any]] = {
    "dpi": {"steps": 9},
    "ddnm": {"steps": 9, "travel_length": 3, "travel_repeat": 2},
    "ddrm": {"steps": 9},
    "dps": {"steps": 9},
    "ilvr": {"steps": 9, "range_t": 2},
    "pgdiff": {"steps": 10, "passes": 2},
    "difface": {"steps": 20},
    "sr3": {"steps": 9},
    "dr2": {},
    "bicubic": {},
}


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    for kind, network, card in (
        ("prior", UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR)),
        ("corrector", Corrector(TINY_CORRECTOR), Card("corrector", 16, TINY_CORRECTOR, 4, k=2)),
        ("sr3", SR3UNet(TINY_SR3), Card("sr3", 16, TINY_SR3, 4)),
    ):
        write_checkpoint(folder / f"{kind}.safetensors", network, card)
    return {k: str(folder / f"{k}.safetensors") for k in ("prior", "corrector", "sr3")}


def experiment(testset: TestSet, weights: dict[str, str], **options: Any) -> Experiment:
    results = testset.folder.parent / "results"
    return Experiment(testset, results, QUICK, weights, batch=2, **options)


def plan(testset: TestSet, weights: dict[str, str], *names: str, **options: Any) -> list[Forecast]:
    return forecast_suite(names, experiment(testset, weights, **options))


@pytest.mark.parametrize("name", QUICK)
def test_network_calls_are_those_that_the_run_then_makes(
    testset: TestSet, weights: dict[str, str], name: str
) -> None:
    (found,) = plan(testset, weights, name)
    run = run_method(name, experiment(testset, weights)).run
    counted = [record.evaluations or 0 for record in run.records().values()]
    assert found.calls == sum(counted)
    assert (found.images, found.title) == (5, find_method(name).title)
    (again,) = plan(testset, weights, name)
    assert (again.images, again.calls, again.seconds) == (0, 0, 0)


def test_repetitions_cost_as_much_again(testset: TestSet, weights: dict[str, str]) -> None:
    (once,), (thrice,) = (plan(testset, weights, "ddrm", repetitions=n) for n in (1, 3))
    assert once.calls
    assert (thrice.images, thrice.calls) == (15, 3 * once.calls)
    assert thrice.disk == 3 * once.disk > 0


def test_nothing_is_written(testset: TestSet, weights: dict[str, str]) -> None:
    plan(testset, weights, "ddrm")
    assert not (testset.folder.parent / "results").exists()


@dataclass(frozen=True)
class Steps:
    steps: int = 40


@dataclass
class Clock:
    """Time that passes only in `sleep`."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Sleeping(torch.nn.Module):
    """A network whose first call takes long, as that of a real one, and every other 10 ms."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.calls = clock, 0

    def forward(self, x: Tensor) -> Tensor:
        self.clock.sleep(0.01 if self.calls else 0.5)
        self.calls += 1
        return x


def test_the_time_is_that_of_all_calls_though_few_are_computed(
    testset: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    network = Sleeping(clock)
    monkeypatch.setattr(forecast, "time", clock)

    def restore(problem: Problem, settings: Steps) -> Tensor:
        for _ in range(settings.steps):
            problem.network("swinir")(problem.lr)
            clock.sleep(0.005)  # what the method does around the network
        return resize_bicubic_batch(problem.lr, problem.size)

    needs = frozenset({"swinir"})
    method = Method("sleepy", "Sleepy", lambda scale: Steps(), restore, needs)
    monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: method)
    monkeypatch.setattr(bench.engine.experiment, "find_checkpoints", lambda *given: {})
    counted = bench.engine.models.CountedNetwork(network, torch.device("cpu"))
    models = bench.methods.Models(networks={"swinir": counted})
    loaded = bench.engine.models.LoadedModels(models, {}, (counted,))
    monkeypatch.setattr(work, "load_models", lambda *given: loaded)
    (found,) = forecast_suite(["sleepy"], Experiment(testset, testset.folder, batch=5))
    assert found.calls == 5 * 40
    assert network.calls == forecast.COMPUTED
    assert found.seconds == pytest.approx(40 * 0.015)
    assert clock.now == pytest.approx(0.5 + 0.01 * (forecast.COMPUTED - 1) + 0.005 * 40)


def test_a_rehearsal_has_the_noise_of_the_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_testset("tiny", RECIPE, 4, 16, "bicubic", seed=0, noise=0.1, noise_unit="signed")
    noisy = prepared(plan, photos(tmp_path / "photos"), tmp_path / "testsets" / plan.name).testset
    seen = []

    def restore(problem: Problem, settings: Steps) -> Tensor:
        seen.append(problem.sigma)
        return resize_bicubic_batch(problem.lr, problem.size)

    method = Method("bare", "Bare", lambda scale: Steps(), restore)
    monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: method)
    forecast_suite(["bare"], Experiment(noisy, tmp_path / "results", batch=2))
    assert set(seen) == {0.1}


def test_a_program_of_others_is_not_rehearsed(
    testset: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(problem: Problem, settings: Steps) -> Tensor:
        raise AssertionError("it was run")

    facts: dict[str, Any] = {"fingerprint": lambda size, scale: {"commit": "0"}}
    method = Method("other", "Other", lambda scale: Steps(), restore, **facts)
    monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: method)
    (found,) = forecast_suite(["other"], Experiment(testset, testset.folder))
    assert (found.images, found.calls, found.seconds) == (5, None, None)


def test_the_command_prints_a_table_and_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text("size = 16\n")
    photos(tmp_path / "photos", count=3)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    out = good("plan", "bicubic").out
    row = next(line for line in out.splitlines() if "Bicubic" in line)
    assert row.split()[1:3] == ["3", "0"]
    assert re.search(r"Total: 0 NFE, \d+\.\d s", out)  # however busy the machine
    assert "without scoring" in out
    assert not (tmp_path / "results").exists()
