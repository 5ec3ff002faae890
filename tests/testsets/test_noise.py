"""Noisy measurements: their unit, that they are not rounded, and what methods are told."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import ddnm, ddrm, diffpir
from bench.core.errors import BenchError, WrongUsage
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.engine.executors.local import Worker
from bench.engine.executors.work import Unit
from bench.engine.experiment import Experiment
from bench.images import to_model
from bench.methods import Configured, Models, Problem
from bench.store.run import list_runs
from bench.testsets.build import measurement
from bench.testsets.manifest import Plan, open_testset, read_manifest
from bench.testsets.recipe import plan_testset
from tests.command import bench as command
from tests.command import good
from tests.oracle import GAUSSIAN, SCALE, SIZE
from tests.small import RECIPE, picture

WHOLE = (0.0, 0.0, 1.0, 1.0)


def plan(noise: float = 0.05, unit: str = "signed", **changes: object) -> Plan:
    values = {"recipe": "tiny", "size": 64, "scale": 4, "degradation": "bicubic", "seed": 0}
    return Plan(**{**values, "crop": WHOLE, "noise": noise, "noise_unit": unit, **changes})  # type: ignore[arg-type]


def test_the_deviation_is_that_of_the_stated_unit() -> None:
    """The residual of 768 values has its deviation within 10 percent, four standard errors."""
    hr = picture(0, 64)
    clean = bicubic(64, 4)(to_model([hr]))[0].permute(1, 2, 0).numpy()
    for noise, unit, expected in ((0.05, "signed", 0.05), (0.05, "unit", 0.1)):
        measured = measurement(hr, plan(noise, unit), "face")
        assert measured.dtype == np.float32
        assert np.std(measured - clean) == pytest.approx(expected, rel=0.1)
        assert abs(np.mean(measured - clean)) < 4 * expected / np.sqrt(clean.size)
        assert plan(noise, unit).sigma == pytest.approx(expected)


def test_measurements_are_neither_rounded_nor_clipped() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    measured = measurement(white, plan(0.2), "face")
    assert (measured > 1).mean() == pytest.approx(0.5, abs=0.1)
    levels = (measured.astype(float) + 1) * 127.5
    assert np.abs(levels - np.round(levels)).max() > 0.4


def test_noise_is_keyed_by_image_and_seed_alone() -> None:
    hr = picture(0, 64)
    first = measurement(hr, plan(), "a")
    assert np.array_equal(first, measurement(hr, plan(), "a"))
    assert not np.array_equal(first, measurement(hr, plan(), "b"))
    assert not np.array_equal(first, measurement(hr, plan(seed=1), "a"))
    # The same draw, whatever its deviation: only the clean part and the grid of 2^-16 remain.
    double = measurement(hr, plan(0.1), "a").astype(float)
    clean = 2 * first.astype(float) - double
    exact = bicubic(64, 4)(to_model([hr]))[0].permute(1, 2, 0).numpy()
    assert np.abs(clean - exact).max() < 4 * 2.0**-16


def test_noise_is_part_of_the_name_and_of_the_identity() -> None:
    names = {plan(0.05).name, plan(0.05, "unit").name, plan(0.1).name}
    assert names == {"tiny-64-x4-noise0.05", "tiny-64-x4-noise0.05unit", "tiny-64-x4-noise0.1"}
    assert "noise" not in plan_testset("tiny", RECIPE, 4, 16).name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": 0.1}, "--noise needs its --noise-unit"),
        ({"noise_unit": "unit"}, "--noise needs its --noise-unit"),
        ({"noise": 0.0, "noise_unit": "unit"}, "a standard deviation above 0"),
        ({"noise": 0.1, "noise_unit": "unit", "degradation": "blind"}, "--degradation bicubic"),
    ],
)
def test_noise_without_meaning_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        plan_testset("tiny", RECIPE, size=16, **options)  # type: ignore[arg-type]


def test_a_noisy_test_set_is_prepared_verified_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('size = 64\nmetrics = ["psnr"]\n')
    prepare = [
        "prepare",
        "sample",
        "--count",
        "2",
        "--scale",
        "8",
        "--noise",
        "0.05",
        "--noise-unit",
        "unit",
    ]
    assert "with noise of 0.1 in [-1, 1]" in good(*prepare).out
    folder = tmp_path / "testsets" / "sample-64-x8-noise0.05unit"
    testset = open_testset(folder)
    (first, *_) = testset.entries
    assert testset.measurement(first).shape == (8, 8, 3)
    assert testset.measurement(first).dtype == np.float32
    shown = np.clip(np.floor((testset.measurement(first) + 1) * 127.5 + 0.5), 0, 255)
    assert np.abs(shown - testset.lr(first)).max() <= 1
    assert "already exists" in good(*prepare).out
    assert "noise 0.05 (unit)" in good("run", "bicubic").out + good("report").out
    (run,) = list_runs(tmp_path / "results", testset.name)
    assert run.spec.testset == testset.manifest.sha256
    stored = json.loads((folder / "manifest.json").read_text())
    assert (stored["plan"]["noise"], stored["plan"]["noise_unit"]) == (0.05, "unit")

    clean = ["prepare", "sample", "--count", "2", "--scale", "8", "--name", "clean"]
    good(*clean)
    assert read_manifest(tmp_path / "testsets" / "clean").sha256 != testset.manifest.sha256
    (folder / "measured" / f"{first}.npy").write_bytes(b"other")
    assert "has changed" in command("verify", testset.name).out
    with pytest.raises(BenchError, match="has changed"):
        testset.measurement(first)


def problem(sigma: float) -> Problem:
    y = bicubic(SIZE, SCALE)(GAUSSIAN.draw(2, seed=3))
    noise = KeyedNoise([StreamKey(0, name) for name in "ab"])
    return Problem(y, SCALE, noise, Models(prior=GAUSSIAN.prior()), sigma=sigma)


@pytest.mark.parametrize(("method", "unit"), [(ddnm, 1.0), (ddrm, 1.0), (diffpir, 0.5)])
def test_methods_take_the_noise_of_the_test_set(method: object, unit: float) -> None:
    """As if its deviation had been set by hand, in the unit of the method's setting."""
    settings = method.Settings(steps=10)  # type: ignore[attr-defined]
    by_hand = method.Settings(steps=10, sigma_y=0.2 * unit)  # type: ignore[attr-defined]
    restore = method.restore  # type: ignore[attr-defined]
    told = restore(problem(0.2), settings)
    assert torch.equal(told, restore(problem(0.0), by_hand))
    assert not torch.equal(told, restore(problem(0.0), settings))


def test_the_engine_tells_methods_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text("size = 64\n")
    good(
        *[
            "prepare",
            "sample",
            "--count",
            "1",
            "--scale",
            "8",
            "--noise",
            "0.1",
            "--noise-unit",
            "signed",
        ]
    )
    testset = open_testset(tmp_path / "testsets" / "sample-64-x8-noise0.1")
    assignment = Experiment(testset, tmp_path / "results").resolve("bicubic").assignment()
    assert assignment.sigma == pytest.approx(0.1)
    worker = Worker(assignment, torch.device("cpu"))
    seen: list[Problem] = []

    def restore(self: Configured, given: Problem) -> torch.Tensor:
        seen.append(given)
        return torch.zeros(1, 3, 64, 64)

    monkeypatch.setattr(Configured, "restore", restore)
    (image,) = testset.entries
    worker.restore(Unit((image,), (testset.measurement(image),)))
    assert seen[0].sigma == pytest.approx(0.1)
    expected = torch.from_numpy(testset.measurement(image)).permute(2, 0, 1)[None]
    assert torch.equal(seen[0].lr, expected.float())
    assert asdict(testset.manifest.plan)["noise"] == 0.1
