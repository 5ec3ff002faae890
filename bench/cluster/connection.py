"""Connection of this command to a cluster."""

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.cluster.crew import PATIENCE, Crew, first_line, raise_cause, tell_to_wait
from bench.cluster.worker import Make
from bench.core.concurrency import processors
from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import missing_packages

Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL = "ray"
"""Address that starts a local Ray for this command."""

_STORE = 512 * 2**20
"""Bytes of a local Ray's object store; weights stay on disk, so batches in flight fit easily."""

_AHEAD = 8
"""Results per worker that may wait for earlier items."""


class Cluster:
    """Machines that work is sent to. The connection opens on first use.

    `address` is "ray" (start Ray here and stop it on exit), "auto" (the Ray that runs on this
    machine), HOST:PORT (a cluster that this machine belongs to) or ray://HOST:PORT (one that it
    does not belong to). Each worker has `cpus` processors, one thread each, and `gpus` GPUs, a
    fraction if several workers share one (default: 1 if the cluster has any). By default there are
    as many `workers` as fit on the cluster.

    Raises:
        WrongUsage: an invalid address or number of GPUs.
        BenchError: Ray is not installed.
    """

    def __init__(
        self, address: str, workers: int | None = None, cpus: int = 1, gpus: float | None = None
    ) -> None:
        if not re.fullmatch(rf"{LOCAL}|auto|(ray://)?[^\s:/]+:\d+", address):
            raise WrongUsage(
                f"--on {address} is not an address: give ray, auto, HOST:PORT or ray://HOST:PORT."
            )
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise WrongUsage(
                f"--gpus-per-worker {gpus} is not possible: give a fraction or a whole number."
            )
        if lacking := missing_packages("cluster", "ray"):
            raise BenchError(f"--on needs Ray: {lacking}.")
        self.address, self.cpus = address, cpus
        self._workers, self._gpus = workers, gpus
        self._ray: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    @property
    def gpus(self) -> float:
        """GPUs per worker."""
        if self._gpus is not None:
            return self._gpus
        return 1.0 if any(node.get("GPU") for node in self._nodes()) else 0.0

    def workers(self, gpus: float) -> int:
        """Return the number of workers with this many GPUs each."""
        if self._workers is not None:
            return self._workers
        return max(sum(carried(node, self.cpus, gpus) for node in self._nodes()), 1)

    @property
    def facts(self) -> dict[str, Any]:
        """Return facts about the cluster for provenance, as JSON values."""
        return {
            "ray": self._connected().__version__,
            "nodes": len(self._nodes()),
            "workers": self.workers(self.gpus),
            "cpus_per_worker": self.cpus,
            "gpus_per_worker": self.gpus,
        }

    def ask(self, function: Callable[[], Result]) -> Result:
        """Run a function in a process with a worker's resources and return its value.

        Raises:
            BenchError: what the function raised, or the process ended.
        """
        ray, resources = self._connected(), self._resources(self.gpus)
        reference = ray.remote(_call).options(**resources).remote(function)
        placed, _ = ray.wait([reference], timeout=PATIENCE)
        if not placed:
            tell_to_wait(resources)
        return _answer(ray, reference)

    @contextmanager
    def crew(
        self, make: Make, files: Mapping[str, Path], gpus: float | None = None
    ) -> Iterator[Crew]:
        """Start workers that hold what `make` returns, and wait for the first.

        `files` (hash -> path) are copied to every machine that lacks them; `make` gets their paths
        on that machine. `gpus` is the number per worker (default: this cluster's). All workers end
        with the context.

        Raises:
            BenchError: what `make` raised, or no worker can be had.
        """
        ray, gpus = self._connected(), self.gpus if gpus is None else gpus
        crew = Crew(ray, make, files, self.workers(gpus), self._resources(gpus))
        try:
            crew.gather()
            yield crew
        finally:
            crew.dismiss()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], gpus: float = 0
    ) -> Iterator[Result]:
        """Map over items in order, taking items as needed. A worker sees `gpus` GPUs, or none.

        Raises:
            BenchError: the function raised one, or two workers died on the same item.
        """
        with self.crew(partial(_just, function, gpus), {}, gpus) as crew:
            yield from results_in_order(crew, items)

    def _resources(self, gpus: float) -> dict[str, float]:
        return {"num_cpus": self.cpus, "num_gpus": gpus}

    def _nodes(self) -> list[dict[str, float]]:
        """Return the resources of every machine."""
        return [node["Resources"] for node in self._connected().nodes() if node["Alive"]]

    def _connected(self) -> Any:
        if self._ray is None:
            self._ray = self._connect()
        return self._ray

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = self.address == LOCAL
        if own:  # read when ray is imported: accept connections from this machine only
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        elif ":" in self.address:
            _knock(self.address.removeprefix("ray://"))
        if self.address.startswith("ray://") and _has_token():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray's defaults except for these
        import ray

        where: dict[str, Any] = {"address": self.address}
        if own:
            cpus = max(processors(), self.cpus * (self._workers or 1))
            where = {"address": "local", "num_cpus": cpus, "object_store_memory": _STORE}
            where["include_dashboard"] = False
        try:
            with _own_signals():
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError, AssertionError) as error:
            raise BenchError(
                f"No Ray cluster at {self.address} ({type(error).__name__}: "
                f"{first_line(str(error))}): "
                "start it, or check the address and the versions of Python and Ray."
            ) from error
        return ray


def _answer(ray: Any, reference: Any) -> Any:
    """Return Ray's answer.

    Raises:
        BenchError: the remote BenchError, a missing package, or no response.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise_cause(error)
    except RayError as error:
        raise BenchError(f"The cluster does not respond: {first_line(str(error))}.") from error


def carried(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Return how many workers fit on a machine."""
    by_cpus = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return by_cpus
    return min(by_cpus, int(node.get("GPU", 0) / gpus + 1e-6))  # 1 / 0.1 in floating point


def results_in_order(crew: Crew, items: Iterable[Item]) -> Iterator[Any]:
    """Yield a crew's results in the order of the items."""
    held: dict[int, Any] = {}
    following = 0

    def room() -> bool:
        return len(held) < _AHEAD * crew.size

    for index, result in crew.map_indexed(items, room=room):
        held[index] = result
        while following in held:
            yield held.pop(following)
            following += 1


def _knock(address: str) -> None:
    """Check quickly that a cluster answers; Ray itself would try for a minute.

    Raises:
        BenchError: nothing answers.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise BenchError(
            f"Nothing answers at {address} ({error}): check the address and that the "
            "cluster is running."
        ) from None


def _has_token() -> bool:
    """Return True if Ray can find an authentication token."""
    named = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's SIGTERM handler, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _just(
    function: Callable[[Item], Result], gpus: float, files: object
) -> Callable[[Item], Result]:
    """Return the function in a worker, which then sees no GPU unless it was given one."""
    if not gpus:  # Ray leaves all GPUs of the machine visible
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return function


def _call(function: Callable[[], Result]) -> Result:
    return function()
