"""What is run: all that the runs of a comparison share, and what follows from it for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.config import Precision, Weights
from bench.description import RunSpec
from bench.engine.models import default_batch, find_checkpoints
from bench.engine.work import Assignment, find_configured
from bench.files import sha256_file
from bench.method import Configured
from bench.testset.manifest import Plan, TestSet


@dataclass(frozen=True)
class Experiment:
    """What methods are run on and with, the same for all of them, and where their results go.

    `settings` is method -> setting -> value, and may name methods that are not run; `weights` are
    the user's choices among checkpoints. Each method is run `repetitions` times, with noise of its
    own. Without `batch` the device decides, see `default_batch`. `batch` and `compiled` are how
    the work is done: they make no other run.
    """

    testset: TestSet
    results: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    seed: int = 0
    repetitions: int = 1
    precision: Precision = "float32"
    batch: int | None = None
    compiled: bool = False

    @property
    def plan(self) -> Plan:
        """What the test set was made by: its size and scale are those of every run."""
        return self.testset.manifest.plan

    def images_at_a_time(self, device: torch.device) -> int:
        """The batch that was asked for, else what suits the device."""
        return self.batch or default_batch(self.plan.size, device)

    def configured(self, name: str) -> Configured:
        """The method of this name with its settings.

        Raises:
            BenchError: an unknown method or setting.
        """
        return find_configured(name, self.plan.scale, self.plan.size, self.settings)


def assign(name: str, experiment: Experiment, repetition: int = 0) -> Assignment:
    """What workers are told of a method.

    A method without a network has one precision, so that its runs are one.

    Raises:
        BenchError: an unknown method or setting, or something is missing that it needs.
    """
    plan, configured = experiment.plan, experiment.configured(name)
    paths = find_checkpoints(configured, plan.size, experiment.weights)
    files: dict[str, str] = {need: sha256_file(path) for need, path in paths.items()}
    return Assignment(
        method=name,
        settings=experiment.settings,
        scale=plan.scale,
        size=plan.size,
        weights=Weights(**{need: str(path) for need, path in paths.items()}),
        hashes={**files, **configured.fingerprint(plan.size)},
        seed=experiment.seed,
        repetition=repetition,
        precision=experiment.precision if paths else "float32",
        compiled=experiment.compiled and bool(paths),
    )


def identify(assignment: Assignment, testset: TestSet) -> RunSpec:
    """The run that an assignment makes on a test set."""
    configured = assignment.configured()
    return RunSpec(
        method=assignment.method,
        revision=configured.method.revision,
        settings=configured.facts(),
        testset=testset.manifest.sha256,
        weights=assignment.hashes,
        seed=assignment.seed,
        repetition=assignment.repetition,
        precision=assignment.precision,
    )
