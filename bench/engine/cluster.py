"""Restoring units on a cluster: every worker holds a loaded method, and what it needs comes along.

The code itself does not: bench must be installed on every machine, and a worker whose code is not
that of this one is refused. So are, by `Worker`, other weights.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from bench.cluster import Cluster, Unusable
from bench.config import Weights
from bench.engine.models import choose_device
from bench.engine.provenance import provenance
from bench.engine.work import Assignment, Outcome, Unit, Workers
from bench.engine.worker import Worker
from bench.errors import BenchError
from bench.files import sha256, sha256_json, write_bytes

ENDED_WORKERS = (
    "the workers that tried it were ended, perhaps for want of memory; "
    "their log is with Ray, on the machines that they ran on"
)


class OnCluster:
    """The executor whose workers are a cluster's. The user's own methods are sent to them.

    A worker computes with as many threads as it was given processors, so that its pictures are
    those of a local run with that number of threads.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._facts: dict[str, Any] | None = None

    def provenance(self) -> dict[str, Any]:
        """Of one of the workers, and what the cluster is like."""
        if self._facts is None:
            facts = self._cluster.ask(partial(_facts, self._cluster.cpus))
            self._facts = {**facts, "cluster": self._cluster.facts}
        return self._facts

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        chosen = asdict(assignment.weights)
        files = {
            assignment.hashes[need]: Path(path) for need, path in chosen.items() if path is not None
        }
        load = partial(_load, assignment, self._cluster.cpus, code(), _own_methods())
        with self._cluster.crew(load, files) as crew:
            yield lambda units: crew.map(units, _lost)


def code() -> str:
    """Hash of all of our code and of the methods that ship."""
    import baselines
    import bench

    rooms = (Path(str(bench.__file__)).parent, Path(str(baselines.__file__)).parent)
    return sha256_json({room.name: sha256_json(_hashes(_read(room))) for room in rooms})


def _own_methods() -> dict[str, bytes]:
    """The files of the folders that `baselines` extends over beside the one that ships."""
    import baselines

    return {name: text for own in baselines.__path__[1:] for name, text in _read(Path(own)).items()}


def _facts(threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    return provenance(choose_device())


def _load(
    assignment: Assignment,
    threads: int,
    expected: str,
    methods: Mapping[str, bytes],
    files: Mapping[str, Path],
) -> Any:
    """In a worker: the method, ready to be called with units."""
    import baselines

    if code() != expected:
        raise BenchError(
            "The code of bench on a machine of the cluster is not the code here: "
            "install the same version everywhere."
        )
    torch.set_num_threads(threads)
    if methods:
        folder = Path(mkdtemp(prefix="bench-methods-"))
        for name, text in methods.items():
            write_bytes(folder / name, text)
        baselines.__path__[:] = [str(Path(str(baselines.__file__)).parent), str(folder)]
    here = {
        need: str(files[assignment.hashes[need]])
        for need, path in asdict(assignment.weights).items()
        if path is not None
    }
    worker = Worker(replace(assignment, weights=Weights(**here)), choose_device())
    return partial(_restore, worker)


def _restore(worker: Worker, unit: Unit) -> Outcome:
    try:
        return worker.restore(unit)
    except BenchError as error:  # the device is gone, and another worker's may not be
        raise Unusable(str(error)) from None


def _lost(unit: Unit, why: str) -> tuple[list[Unit], list[Outcome]]:
    """Halves of a unit that ended two workers; of a single image, its failure."""
    if len(unit) > 1:
        return unit.split((len(unit) + 1) // 2), []
    return [], [Outcome((), dict.fromkeys(unit.images, ENDED_WORKERS), 0)]


def _read(folder: Path) -> dict[str, bytes]:
    """Programs and descriptions in a folder, by their names below it."""
    files = sorted((*folder.rglob("*.py"), *folder.rglob("*.toml")))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(data) for name, data in files.items()}
