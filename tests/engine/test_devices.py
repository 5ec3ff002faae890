"""Several devices of one machine: the same pictures as in one process, and who dies is told."""

from pathlib import Path

import pytest
import torch

import baselines
from bench.core.errors import BenchError
from bench.diffusion.unet import UNet
from bench.engine.executors import devices
from bench.engine.executors.devices import Devices, this_machine
from bench.engine.executors.local import ThisProcess
from bench.engine.executors.work import Assignment, Executor
from bench.engine.experiment import Experiment
from bench.engine.run import Finished
from bench.networks.checkpoints import Card, write_checkpoint
from tests.running import run_method
from tests.small import TINY_PRIOR, small_testset

CPU = torch.device("cpu")

MORTAL = """
import os
from dataclasses import dataclass
from pathlib import Path

from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem

FLAG = Path({flag!r})


@dataclass(frozen=True)
class NoSettings:
    pass


def restore(problem, settings):
    if "face-3" in problem.images and not FLAG.exists():
        FLAG.touch()
        os.kill(os.getpid(), 9)
    up = resize_bicubic_batch(problem.lr, problem.size)
    return up + 0.1 * problem.noise.normal_like(up)


METHOD = Method("mortal", "Mortal", lambda scale: NoSettings(), restore, frozenset({{"prior"}}))
"""


@pytest.fixture
def prior(tmp_path: Path) -> dict[str, str]:
    torch.manual_seed(0)
    network = UNet(TINY_PRIOR)
    torch.nn.init.normal_(
        network.get_parameter("out.2.weight"), std=0.1
    )  # else it would predict nothing
    write_checkpoint(tmp_path / "prior.safetensors", network, Card("prior", 16, TINY_PRIOR))
    return {"prior": str(tmp_path / "prior.safetensors")}


def pictures(finished: Finished) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in finished.run.folder.rglob("*.png")}


def test_two_devices_make_what_one_makes(prior: dict[str, str], tmp_path: Path) -> None:
    testset = small_testset(tmp_path, count=5)
    both = Devices([CPU, CPU])

    def run(executor: Executor, place: str) -> Finished:
        settings = {"ddrm": {"steps": 3}}
        experiment = Experiment(testset, tmp_path / place, settings, prior, batch=2)
        return run_method("ddrm", experiment, executor=executor)

    one, two = run(ThisProcess(), "one"), run(both, "two")
    assert two.restored == 5
    assert pictures(two) == pictures(one)
    assert [r.evaluations for r in two.run.records().values()] == [3] * 5
    assert two.run.description["provenance"]["devices"] == 2


def test_a_process_that_dies_is_told_and_the_same_command_goes_on(
    prior: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    source = MORTAL.format(flag=str(tmp_path / "died"))
    (folder / "mortal.py").write_text(source)
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(folder)])
    testset = small_testset(tmp_path, count=5)

    experiment = Experiment(testset, tmp_path / "r", weights=prior, batch=1)

    def run(executor: Executor) -> Finished:
        return run_method("mortal", experiment, executor=executor)

    with pytest.raises(BenchError, match=r"process for cpu was killed.* to continue"):
        run(Devices([CPU]))
    finished = run(ThisProcess())
    assert finished.restored < 5
    assert len(finished.run.records()) == 5


def test_a_checkpoint_that_does_not_load_is_told_before_anything_is_written(
    prior: dict[str, str], tmp_path: Path
) -> None:
    testset = small_testset(tmp_path, count=2)
    Path(prior["prior"]).write_bytes(b"no network")
    with pytest.raises(BenchError, match="is damaged or not a safetensors file"):
        run_method(
            "ddrm", Experiment(testset, tmp_path / "r", weights=prior), executor=Devices([CPU])
        )
    assert not (tmp_path / "r").exists()


def test_without_a_network_no_process_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(assignment: Assignment, device: torch.device) -> None:
        raise AssertionError

    monkeypatch.setattr(devices, "_start", started)
    testset = small_testset(tmp_path, count=2)
    executor = Devices([CPU, CPU])
    done = run_method("bicubic", Experiment(testset, tmp_path / "r"), executor=executor)
    assert done.restored == 2


@pytest.mark.parametrize(("gpus", "kind"), [(0, ThisProcess), (1, ThisProcess), (2, Devices)])
def test_all_gpus_are_used_without_being_asked(
    monkeypatch: pytest.MonkeyPatch, gpus: int, kind: type
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert type(this_machine()) is kind
