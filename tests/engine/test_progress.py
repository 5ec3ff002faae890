"""Progress inside a batch: what the bar of a run is told before the first batch is finished."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.diffusion.unet import UNet
from bench.engine.executors import local
from bench.engine.executors.devices import Devices
from bench.engine.executors.local import ThisProcess
from bench.engine.executors.work import Executor, Unit
from bench.engine.experiment import Experiment
from bench.networks.checkpoints import Card, write_checkpoint
from tests.small import TINY_PRIOR, picture, small_testset

CPU = torch.device("cpu")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    torch.manual_seed(0)
    write_checkpoint(
        tmp_path / "prior.safetensors", UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR)
    )
    weights = {"prior": str(tmp_path / "prior.safetensors")}
    settings = {"ddnm": {"steps": 8}}
    return Experiment(small_testset(tmp_path), tmp_path / "results", settings, weights)


def units() -> Iterator[Unit]:
    for start in (0, 2):
        images = (f"face-{start}", f"face-{start + 1}")
        yield Unit(images, (picture(start, 4), picture(start + 1, 4)))


@pytest.mark.parametrize("executor", [ThisProcess(CPU), Devices([CPU])])
def test_a_batch_under_way_is_counted_in_images(
    experiment: Experiment, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(executor, ThisProcess):
        monkeypatch.setattr(local, "BETWEEN", 0.0)
    told: list[float] = []
    with executor.ready(experiment.resolve("ddnm").assignment()) as restore:
        for _ in restore(units(), told.append):
            assert told[-1] == 0, "a finished batch is not counted twice"
    if isinstance(executor, ThisProcess):
        parts = [2 * step / 8 for step in range(1, 8)] + [local.LARGEST_PART * 2]
        assert told == [*parts, 0, *parts, 0]


def test_the_parts_are_reported_seldom(experiment: Experiment) -> None:
    told: list[float] = []
    with ThisProcess(CPU).ready(experiment.resolve("ddnm").assignment()) as restore:
        list(restore(units(), told.append))
    assert len(told) < 8 + 2, "eight calls of a tiny network take less than the time between"
