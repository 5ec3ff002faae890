"""A small Ray cluster on this machine, and a method that fails on demand."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

METHOD = '''
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from bench.images import resize_bicubic_batch
from bench.methods import Method


@dataclass(frozen=True)
class Settings:
    """`trouble` is a JSON file that describes the faults to cause."""

    trouble: str = ""


def restore(problem, settings):
    file = Path(settings.trouble)
    trouble = json.loads(file.read_text()) if file.is_file() else {}
    folder = file.parent
    for image in problem.images:
        with (folder / "tried").open("a") as tried:
            tried.write(f"{os.getpid()} {image}\\n")
    time.sleep(trouble.get("seconds", 0))
    if len(problem.lr) > trouble.get("fits", 1000):
        raise MemoryError
    if trouble.get("raises") in problem.images:
        raise ValueError("a face too many")
    if trouble.get("kills") in problem.images:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel and Ray's memory monitor do
    up = resize_bicubic_batch(problem.lr, problem.size)
    return up + 0.1 * problem.noise.normal_like(up)


METHOD = Method("troubled", "Troubled", lambda scale: Settings(), restore)
'''
"""A file of `baselines/`; it records which process tried which image."""

ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Listen on this machine only, and report no usage."""

NODE: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


class SmallCluster:
    """A head without CPUs, and nodes of one logical CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        self._ray = RayCluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
        self.address = str(self._ray.address)
        assert self.address.startswith("127.0.0.1:")

    def add_node(self, cpus: int = 1, gpus: int = 0) -> Any:
        """Add a node; Ray takes our word for its GPUs."""
        return self._ray.add_node(**NODE, num_cpus=cpus, num_gpus=gpus)

    def kill(self, node: Any) -> None:
        """Kill a node with everything on it, as in a power failure."""
        self._ray.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        self._ray.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def small_cluster(cache: Path) -> Iterator[SmallCluster]:
    """Yield a cluster whose nodes cache received files in a folder of their own."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install -e '.[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("BENCH_CACHE", str(cache))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1])]))
        patch.delenv("RAY_ADDRESS", raising=False)
        # Ray reads the first variable at import, which may have happened already.
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        cluster = SmallCluster()
        try:
            yield cluster
        finally:
            cluster.shutdown()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition becomes true in another process."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
