"""Any metric of pyiqa by name: what its table says, offline, identified, never random."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError, WrongUsage
from bench.metrics import find_measure, pyiqa_any
from bench.metrics.pyiqa_any import Pyiqa, pyiqa_metric
from bench.networks.torchvision_guard import import_torchvision
from tests.command import bench, good
from tests.small import picture, small_testset

pytestmark = pytest.mark.skipif(find_spec("pyiqa") is None, reason="pyiqa is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, of ours and of torch, and nothing remembered by this process."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    pyiqa_any._network.cache_clear()
    return tmp_path / "cache"


def test_direction_reference_and_digits_are_those_of_pyiqas_table() -> None:
    found = {of: find_measure(f"pyiqa:{of}") for of in ("dists", "maniqa", "musiq", "niqe", "fsim")}
    facts = {of: (m.higher_is_better, m.reference, m.digits) for of, m in found.items()}
    assert facts == {
        "dists": (False, "hr", 4),
        "maniqa": (True, "itself", 4),
        "musiq": (True, "itself", 2),
        "niqe": (False, "itself", 2),
        "fsim": (True, "hr", 4),
    }


@pytest.mark.parametrize("of", ["fsim", "gmsd", "piqe"])
def test_values_are_those_of_pyiqa(of: str) -> None:
    import_torchvision()
    package: Any = importlib.import_module("pyiqa")
    theirs = package.create_metric(of, device="cpu")
    sr, hr = [picture(seed, 96) for seed in (0, 1)], [picture(seed, 96) for seed in (2, 3)]

    def tensor(pixels: Any) -> torch.Tensor:
        return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)

    metric = pyiqa_metric(f"pyiqa:{of}")
    alone = metric.reference == "itself"
    expected = [
        float(theirs(tensor(a)) if alone else theirs(tensor(a), tensor(b)))
        for a, b in zip(sr, hr, strict=True)
    ]
    assert metric.score(sr, hr) == expected


def test_absent_weights_are_told_with_the_command_and_nothing_connects() -> None:
    reason = "Its weights are not here: run `bench weights get pyiqa:maniqa`."
    assert pyiqa_metric("pyiqa:maniqa").unavailable() == reason
    with pytest.raises(BenchError, match="bench weights get pyiqa:maniqa"):
        pyiqa_metric("pyiqa:maniqa").score([picture()], [picture()])


class Fake(torch.nn.Module):
    """A metric of pyiqa with one tensor."""

    def __init__(self, start: float | None) -> None:
        super().__init__()
        value = torch.randn(2) if start is None else torch.full((2,), start)
        self.weight = torch.nn.Parameter(value)

    def forward(self, sr: torch.Tensor) -> torch.Tensor:
        return sr.mean() + self.weight.sum()


def built_as(monkeypatch: pytest.MonkeyPatch, start: float | None) -> None:
    import_torchvision()
    package: Any = importlib.import_module("pyiqa")
    monkeypatch.setattr(package, "create_metric", lambda of, device: Fake(start))


def test_a_metric_that_is_initialised_at_random_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    built_as(monkeypatch, None)
    reason = pyiqa_metric("pyiqa:clipiqa+").unavailable()
    assert reason is not None
    assert reason.startswith("pyiqa:clipiqa+ has random weights in weight")


def test_the_identity_names_the_tensors_and_changed_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metric = pyiqa_metric("pyiqa:clipiqa+")
    built_as(monkeypatch, 1.0)
    assert metric.unavailable() is None
    first = metric.identity
    assert metric.score([picture()], [picture()]) == metric.score([picture()], [picture(1)])
    built_as(monkeypatch, 2.0)
    pyiqa_any._network.cache_clear()
    with pytest.raises(BenchError, match=r"have changed: run `bench weights get pyiqa:clipiqa\+`"):
        metric.score([picture()], [picture()])
    good("weights", "get", "pyiqa:clipiqa+", "--accept-licence")
    metric.score([picture()], [picture()])
    assert metric.identity != first


def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongUsage, match="pyiqa:fid measures whole sets: use fid"):
        find_measure("pyiqa:fid")
    with pytest.raises(WrongUsage, match="pyiqa has no metric 'dist': did you mean 'dists'"):
        find_measure("pyiqa:dist")
    said = bench("weights", "get", "pyiqa:maniqa").err
    assert "add --accept-licence" in said
    monkeypatch.setattr(pyiqa_any, "_table", dict)
    with pytest.raises(WrongUsage, match="pyiqa has no metric"):
        pyiqa_metric("pyiqa:dists")


def test_a_column_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_testset(tmp_path, size=64)
    (tmp_path / "bench.toml").write_text('metrics = ["pyiqa:gmsd"]\n')
    good("run", "bicubic", "--testset", "tiny-64-x4")
    out = good("report", "--markdown", "--testset", "tiny-64-x4", "--metric", "pyiqa:gmsd").out
    assert "| Method | GMSD (pyiqa) ↓ |" in out
    assert isinstance(find_measure("pyiqa:gmsd"), Pyiqa)
    for line in out.splitlines():
        if line.startswith("| Bicubic"):
            assert float(line.split("|")[2].strip("* ≈")) > 0
