"""Reduced precision: what it does to results, and what it makes of a run's identity."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from bench.core.config import Config, Precision
from bench.core.errors import WrongUsage
from bench.core.files import sha256_json
from bench.core.validation import build
from bench.engine.executors.local import Worker
from bench.engine.executors.work import Unit
from bench.engine.experiment import Experiment
from bench.engine.models import CountedNetwork
from bench.images import Pixels, resize_bicubic
from bench.metrics.pixel import psnr
from bench.networks.find import find_network
from bench.report.tables.runs import run_labels
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from tests.running import run_method
from tests.small import small_testset

CPU = torch.device("cpu")
QUICK = {"ddnm": {"steps": 2}}


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=1, size=64, scale=8)


def experiment(testset: TestSet, precision: Precision = "float32") -> Experiment:
    return Experiment(testset, testset.folder.parent / "results", QUICK, precision=precision)


def restored(testset: TestSet, precision: Precision) -> Pixels:
    """One smooth picture as DDNM restores it with the embedded prior, in two steps."""
    assignment = experiment(testset, precision).resolve("ddnm").assignment()
    smooth = resize_bicubic(testset.lr("face-0")[:2, :2], 8)
    (part,) = Worker(assignment, CPU).restore(Unit(("face-0",), (smooth,))).restored
    return part.pictures["face-0"]


@pytest.mark.skipif(not find_network("prior", 64, 8).is_file(), reason="no prior is embedded")
def test_reduced_precision_stays_close_to_float32(testset: TestSet) -> None:
    reference = restored(testset, "float32")
    bfloat16 = psnr(restored(testset, "bfloat16"), reference)
    float16 = psnr(restored(testset, "float16"), reference)
    # Mantissas of 7 and 10 bits. In 5 steps 53.6 and 63.8 dB were measured, see
    # docs/results/performance.md for 50 steps; below these bounds it is more than rounding.
    # Equality
    # would mean that nothing was computed at that precision.
    assert 40 < bfloat16 < 70
    assert 50 < float16 < 90


def test_a_network_computes_in_it_and_gives_float32() -> None:
    seen: list[torch.dtype] = []

    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            y = self.layer(x)
            seen.append(y.dtype)
            return y, None

    x = torch.zeros(2, 3, 4, 4)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        network = CountedNetwork(Twice(), CPU, precision)  # type: ignore[arg-type]
        with torch.no_grad():
            first, second = network(x)
        assert (first.dtype, second, network.evaluations) == (torch.float32, None, 2)
        assert seen.pop() == dtype


def test_float32_is_what_every_run_was_named_for(testset: TestSet) -> None:
    spec = experiment(testset).resolve("ddnm").spec()
    before = {k: v for k, v in asdict(spec).items() if k != "precision"}
    assert spec.identity == sha256_json({"format": 1, **before})
    assert build(RunSpec, before, "x").identity == spec.identity
    reduced = [replace(spec, precision=p).identity for p in ("bfloat16", "float16")]
    assert len({spec.identity, *reduced}) == 3


def test_a_method_without_a_network_has_one_precision(testset: TestSet, tmp_path: Path) -> None:
    first = run_method("bicubic", experiment(testset))
    again = run_method("bicubic", experiment(testset, "float16"))
    assert (again.restored, again.run.folder) == (0, first.run.folder)


def test_a_table_tells_a_reduced_precision(testset: TestSet, tmp_path: Path) -> None:
    def run(precision: Precision) -> Run:
        spec = RunSpec("dpi", 1, {}, "0", {}, 0, precision=precision)
        return Run.open(tmp_path, "set", "DPI", spec, {})

    full, half = run("float32"), run("float16")
    assert run_labels([half]) == ["DPI (precision float16)"]
    assert run_labels([full]) == ["DPI"]
    assert run_labels([full, half]) == ["DPI (precision float32)", "DPI (precision float16)"]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"x\.precision is 'float8': choose 'float32', 'bfl"):
        build(Config, {"precision": "float8"}, "x")
    assert build(Config, {"precision": "float16"}, "x").precision == "float16"
