"""Experiments: settings shared by all runs of a comparison, and methods resolved for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.core.config import Precision
from bench.core.files import sha256_cached
from bench.engine.executors.work import Assignment
from bench.engine.models import default_batch, find_checkpoints
from bench.methods import Configured, configure
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import Plan, TestSet


@dataclass(frozen=True)
class Experiment:
    """A test set and the settings shared by all methods run on it.

    Attributes:
        results: folder of all results.
        settings: method -> setting -> value; may name methods that are not run.
        weights: kind of network -> checkpoint chosen by the user.
        repetitions: runs per method, each with its own noise.
        batch: images at a time; None leaves it to the device, see `default_batch`.
        compiled: compile networks. Like `batch`, it does not change a run's identity.
    """

    testset: TestSet
    results: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    repetitions: int = 1
    precision: Precision = "float32"
    batch: int | None = None
    compiled: bool = False

    @property
    def plan(self) -> Plan:
        """Plan of the test set, with the size and scale of every run."""
        return self.testset.manifest.plan

    def images_at_a_time(self, device: torch.device) -> int:
        """Return the chosen batch size, else the device's default."""
        return self.batch or default_batch(self.plan.size, device)

    def configured(self, name: str) -> Configured:
        """Return the method of this name with its settings.

        Raises:
            BenchError: an unknown method or setting.
        """
        return configure(name, self.plan.scale, self.plan.size, self.settings)

    def resolve(self, method: str | Configured) -> "ResolvedMethod":
        """Find and hash all inputs of a method.

        Raises:
            BenchError: an unknown method or setting, or something missing, with how to get it.
        """
        configured = self.configured(method) if isinstance(method, str) else method
        paths = find_checkpoints(configured, self.plan.size, self.weights)
        outside = configured.fingerprint(self.plan.size)
        files = {need: sha256_cached(path) for need, path in paths.items()}
        return ResolvedMethod(self, configured, paths, {**files, **outside}, bool(outside))


@dataclass(frozen=True)
class ResolvedMethod:
    """A method of an experiment with its weights located and hashed.

    Attributes:
        checkpoints: kind of network -> file.
        hashes: name -> hash of each checkpoint and external program.
        external: True if an external program takes part.
    """

    experiment: Experiment
    configured: Configured
    checkpoints: Mapping[str, Path]
    hashes: Mapping[str, str]
    external: bool = False

    def assignment(self, repetition: int = 0) -> Assignment:
        """Return the assignment for workers.

        A method without networks always runs at float32, so that its runs have one identity.
        """
        experiment, networks = self.experiment, bool(self.checkpoints)
        return Assignment(
            method=self.configured.method.name,
            settings=experiment.settings,
            scale=experiment.plan.scale,
            size=experiment.plan.size,
            weights={need: str(path) for need, path in self.checkpoints.items()},
            hashes=self.hashes,
            seed=experiment.seed,
            sigma=experiment.plan.sigma,
            repetition=repetition,
            precision=experiment.precision if networks else "float32",
            compiled=experiment.compiled and networks,
        )

    def spec(self, repetition: int = 0) -> RunSpec:
        """Return the specification that identifies the run."""
        return RunSpec(
            method=self.configured.method.name,
            revision=self.configured.method.revision,
            settings=self.configured.facts(),
            testset=self.experiment.testset.manifest.sha256,
            weights=self.hashes,
            seed=self.experiment.seed,
            repetition=repetition,
            precision=self.experiment.precision if self.checkpoints else "float32",
        )

    def run(self, spec: RunSpec) -> Run:
        """Return the run with this identity; it may not exist yet."""
        return Run.of(self.experiment.results, self.experiment.testset.name, spec)
