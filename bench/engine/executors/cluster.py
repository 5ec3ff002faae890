"""Restore units on a cluster, where each worker holds a loaded method.

Weights and the user's own methods are sent to the workers; bench itself must be installed on every
machine.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.cluster import Cluster, Unusable
from bench.cluster.worker import programs
from bench.core.errors import BenchError
from bench.core.files import sha256, sha256_json, write_bytes
from bench.core.paths import cache_folder
from bench.engine.executors.local import Worker
from bench.engine.executors.work import Assignment, Outcome, Unit, Watch, Workers, no_watch
from bench.engine.models import choose_device
from bench.engine.provenance import provenance
from bench.methods import look_in, method_folders

ENDED_WORKERS = (
    "the workers that tried it died, perhaps out of memory; see Ray's logs on their machines"
)


class OnCluster:
    """Executor on a cluster. The user's own methods are sent to the workers.

    A worker computes with as many threads as it was given processors, so that its images are
    those of a local run with that number of threads.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._facts: dict[str, Any] | None = None

    def provenance(self) -> dict[str, Any]:
        """Return the provenance of one worker, and facts about the cluster."""
        if self._facts is None:
            facts = self._cluster.ask(partial(_facts, self._cluster.cpus, self._cluster.gpus))
            self._facts = {**facts, "cluster": self._cluster.facts}
        return self._facts

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        files = {assignment.hashes[need]: Path(p) for need, p in assignment.weights.items()}
        own = map(Path, method_folders()[1:])
        methods = {name: text for folder in own for name, text in programs(folder).items()}
        load = partial(_load, assignment, self._cluster.cpus, self._cluster.gpus, methods)
        with self._cluster.crew(load, files) as crew:
            yield lambda units, watch=no_watch: crew.map(units, _lost, watch)


def _facts(threads: int, gpus: float) -> dict[str, Any]:
    torch.set_num_threads(threads)
    return provenance(_device(gpus))


def _device(gpus: float) -> torch.device:
    """Return the device of a worker with this many GPUs; Ray shows GPUs to CPU workers, too."""
    return choose_device() if gpus else torch.device("cpu")


def _load(
    assignment: Assignment,
    threads: int,
    gpus: float,
    methods: Mapping[str, bytes],
    files: Mapping[str, Path],
) -> Any:
    """Load the method in a worker and return the function for units."""
    torch.set_num_threads(threads)
    if methods:
        content = sha256_json({name: sha256(text) for name, text in methods.items()})
        folder = cache_folder() / "received" / content
        for name, text in methods.items():
            write_bytes(folder / name, text)
        look_in([method_folders()[0], str(folder)])
    here = {need: str(files[assignment.hashes[need]]) for need in assignment.weights}
    worker = Worker(replace(assignment, weights=here), _device(gpus))
    return partial(_restore, worker)


def _restore(worker: Worker, unit: Unit, watch: Watch) -> Outcome:
    try:
        return worker.restore(unit, watch)
    except BenchError as error:  # this device is gone; another worker's may not be
        raise Unusable(str(error)) from None


def _lost(unit: Unit, why: str) -> tuple[list[Unit], list[Outcome]]:
    """Split a unit that killed two workers; a single image becomes a failure."""
    if len(unit) > 1:
        return unit.split((len(unit) + 1) // 2), []
    return [], [Outcome((), dict.fromkeys(unit.images, ENDED_WORKERS), 0)]
