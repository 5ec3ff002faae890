"""A noisy method for tests, run as users run theirs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import bench.methods.catalogue
from bench.engine.experiment import Experiment
from bench.engine.run import Finished
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem
from bench.testsets.manifest import TestSet
from tests.running import run_method


@dataclass(frozen=True)
class Strength:
    strength: float = 0.1


@dataclass
class Noisy:
    """Bicubic with noise, interrupted at the image numbered `stop_at`, in order of calls."""

    stop_at: int = 1000
    batches: list[int] = field(default_factory=list)
    spoil: Callable[[Tensor], Tensor] = lambda x: x

    def restore(self, problem: Problem, settings: Strength) -> Tensor:
        self.batches.append(len(problem.lr))
        if sum(self.batches) > self.stop_at:
            raise KeyboardInterrupt
        up = resize_bicubic_batch(problem.lr, problem.size)
        return self.spoil(up + settings.strength * problem.noise.normal_like(up))

    def method(self, **facts: Any) -> Method[Strength]:
        return Method("noisy", "Noisy", lambda scale: Strength(), self.restore, **facts)


@dataclass
class Bench:
    """Runs a method on a test set, with results below `results`."""

    monkeypatch: pytest.MonkeyPatch
    testset: TestSet
    results: Path

    def run(
        self,
        noisy: Noisy,
        batch: int = 2,
        seed: int = 0,
        strength: float = 0.1,
        fail_fast: bool = False,
        **facts: Any,
    ) -> Finished:
        method = noisy.method(**facts)
        self.monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: method)
        experiment = Experiment(
            self.testset,
            self.results,
            {"noisy": {"strength": strength}},
            seed=seed,
            batch=batch,
        )
        return run_method("noisy", experiment, fail_fast=fail_fast)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}
