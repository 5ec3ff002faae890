"""Run identity: the fields of an experiment that change it, and those that must not."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.diffusion.unet import UNet
from bench.engine.executors.local import Worker
from bench.engine.executors.work import Unit
from bench.engine.experiment import Experiment
from bench.networks.checkpoints import Card, write_checkpoint
from tests.small import TINY_PRIOR, picture, small_testset


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    write(tmp_path / "prior.safetensors", seed=0)
    weights = {"prior": str(tmp_path / "prior.safetensors")}
    testset = small_testset(tmp_path)
    return Experiment(testset, tmp_path / "results", {"ddnm": {"steps": 3}}, weights)


def write(file: Path, seed: int) -> None:
    torch.manual_seed(seed)
    write_checkpoint(file, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))


def identity(experiment: Experiment, repetition: int = 0) -> str:
    return experiment.resolve("ddnm").spec(repetition).identity


def test_everything_that_changes_numbers_changes_the_identity(
    experiment: Experiment, tmp_path: Path
) -> None:
    write(tmp_path / "other.safetensors", seed=1)
    others = [
        identity(replace(experiment, settings={"ddnm": {"steps": 4}})),
        identity(replace(experiment, weights={"prior": str(tmp_path / "other.safetensors")})),
        identity(replace(experiment, seed=1)),
        identity(replace(experiment, precision="bfloat16")),
        identity(replace(experiment, precision="float16")),
        identity(replace(experiment, testset=small_testset(tmp_path / "more", count=5))),
        identity(experiment, repetition=1),
    ]
    assert len({identity(experiment), *others}) == 1 + len(others)


@pytest.mark.parametrize("change", [{"batch": 3}, {"compiled": True}, {"repetitions": 5}])
def test_what_changes_no_number_does_not(experiment: Experiment, change: dict[str, Any]) -> None:
    changed: Experiment = replace(experiment, **change)
    assert identity(changed) == identity(experiment)


def test_seconds_and_nfe_are_per_image(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(experiment.resolve("ddnm").assignment(), torch.device("cpu"))
    clock = iter([100.0, 108.0])
    fake = SimpleNamespace(perf_counter=lambda: next(clock), monotonic=time.monotonic)
    monkeypatch.setattr("bench.engine.executors.local.time", fake)
    images = tuple(f"face-{seed}" for seed in range(4))
    outcome = worker.restore(Unit(images, tuple(picture(seed, 4) for seed in range(4))))
    (restored,) = outcome.restored
    assert (restored.seconds, restored.evaluations) == (2.0, 3)
