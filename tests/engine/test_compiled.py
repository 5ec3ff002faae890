"""Compiled networks: which ones, how, and what is told; the compiler itself is stood in for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.diffusion.unet import UNet
from bench.engine.experiment import Experiment
from bench.engine.forecast import forecast_suite
from bench.engine.models import CountedNetwork
from bench.networks.checkpoints import Card, write_checkpoint
from bench.store.run import Run
from bench.testsets.manifest import TestSet
from tests.running import run_method
from tests.small import TINY_PRIOR, small_testset

CPU = torch.device("cpu")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each call of torch.compile, which gives the network back as it is."""
    calls: list[dict[str, Any]] = []

    def stand_in(network: nn.Module, **options: Any) -> nn.Module:
        calls.append(options)
        return network

    monkeypatch.setattr(torch, "compile", stand_in)
    return calls


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=2)


def experiment(testset: TestSet, **options: Any) -> Experiment:
    folder = testset.folder.parent
    prior = folder / "prior.safetensors"
    if not prior.exists():
        write_checkpoint(prior, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))
    settings = {"ddrm": {"steps": 2}}
    chosen = {"prior": str(prior)}
    return Experiment(testset, folder / "results", settings, chosen, batch=2, **options)


def run(testset: TestSet, name: str, **options: Any) -> Run:
    return run_method(name, experiment(testset, **options)).run


def test_networks_are_compiled_where_it_is_asked_for_and_it_is_told(
    testset: TestSet, compiled: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run(testset, "bicubic", compiled=True)
    assert compiled == []
    assert capsys.readouterr().err == ""
    made = run(testset, "ddrm", compiled=True)
    assert compiled == [{"dynamic": False}]
    told = "DDRM: the first batch takes longer because networks are compiled.\n"
    assert capsys.readouterr().err == told
    assert made.description["provenance"]["compiled"] is True


def test_what_is_planned_is_what_will_be_run(
    testset: TestSet, compiled: list[dict[str, Any]]
) -> None:
    (planned,) = forecast_suite(["ddrm"], experiment(testset, compiled=True))
    assert compiled == [{"dynamic": False}]
    assert planned.calls == 2 * 2


def test_a_compiled_run_is_the_same_run(testset: TestSet, compiled: list[dict[str, Any]]) -> None:
    first = run(testset, "ddrm")
    assert first.description["provenance"]["compiled"] is False
    assert run(testset, "ddrm", compiled=True).folder == first.folder
    assert compiled == []  # it was done


def test_results_of_a_cuda_graph_are_copied_from_where_the_next_call_writes(
    compiled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = torch.zeros(1, 3, 2, 2)

    class Graph(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            place.add_(1)
            return place, None

    network = CountedNetwork(Graph(), CPU)
    network._device = torch.device("cuda")
    network.compile()
    assert compiled == [{"dynamic": False, "mode": "reduce-overhead"}]
    first, second = network(place), network(place)
    assert (float(first[0].mean()), float(second[0].mean()), first[1]) == (1.0, 2.0, None)


def test_a_compiler_that_fails_is_no_failure_of_an_image(
    testset: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.exc import InductorError

    def failing(network: nn.Module, **options: Any) -> Callable[..., Tensor]:
        def call(*given: Tensor) -> Tensor:
            raise InductorError(RuntimeError("no compiler"), None)

        return call

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(BenchError, match=r"--compile does not work here; remove it: Inductor"):
        run(testset, "ddrm", compiled=True)
