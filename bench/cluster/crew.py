"""Stateful workers on a cluster; items lost with a worker are done again by another.

Ray's errors become sentences here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from bench.cluster.worker import Board, Make, Unusable, WorkerActor, code
from bench.core.errors import BenchError
from bench.core.progress import notice

Watch = Callable[[float], None]
"""Receives the total progress of the items in flight."""

Lost = Callable[[Any, str], tuple[list[Any], list[Any]]]
"""Handler of an item that killed two workers: items to try instead, and results to yield."""

_IN_HAND = 2
"""Items per worker: one in progress and one queued."""

_DEATHS = 2
"""Workers that an item may kill; one may have been on a failing machine."""

PATIENCE = 20.0
"""Seconds before a notice that no worker could be placed."""

LOOKS = 1.0
"""Seconds between polls of the progress board."""


@dataclass
class _Task:
    """An item in flight, its index, and how many workers it may have killed."""

    index: int
    item: Any
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    """A worker as seen by the driver, with its tasks in order."""

    actor: Any
    number: int
    loaded: bool = False
    tasks: deque[_Task] = field(default_factory=deque)

    def may_have(self, task: _Task) -> bool:
        """Return True if the worker may get this task; a suspect must be alone on its worker."""
        return not self.tasks or not (task.deaths or any(other.deaths for other in self.tasks))


class Crew:
    """A group of workers. `resources` are requested from Ray for each."""

    def __init__(
        self,
        ray: Any,
        make: Make,
        files: Mapping[str, Path],
        size: int,
        resources: Mapping[str, float],
    ) -> None:
        self.size = size
        self._ray = ray
        self._actor = ray.remote(WorkerActor).options(**resources)
        self._resources = resources
        self._files = files
        self._code = code()
        self._made = ray.put(make)  # once, though a replaced worker asks again
        self._sent: dict[str, list[Any]] = {}
        self._workers: list[_Worker] = []
        self._waiting: dict[Any, _Worker] = {}  # keyed by Ray's reference
        self._queue: deque[_Task] = deque()  # to be done before anything new
        self._ended = 0  # workers that ended since the last result
        self._hired = 0
        self._board: Any = None  # where workers note parts, if anybody watches
        self._watch: Watch | None = None

    def gather(self) -> None:
        """Place the workers and load the first.

        Raises:
            BenchError: loading failed.
        """
        for _ in range(self.size):
            self._hire()
        told = False
        while not any(worker.loaded for worker in self._workers):
            for reference in self._answers(None if told else PATIENCE):
                self._loaded(reference)
            if not told and not any(worker.loaded for worker in self._workers):
                told = True
                tell_to_wait(self._resources)

    def dismiss(self) -> None:
        """End all workers."""
        while self._workers:
            self._ray.kill(self._workers.pop().actor)
        if self._board is not None:
            self._ray.kill(self._board)
            self._board = None
        self._waiting.clear()

    def map(
        self, items: Iterable[Any], lost: "Lost | None" = None, watch: Watch | None = None
    ) -> Iterator[Any]:
        """Yield results in any order; items are taken as they are needed, two per worker.

        `watch` receives how much of the items in hand is done.

        Raises:
            BenchError: what a worker raised, or workers end again and again.
        """
        self._watch = watch
        if watch and self._board is None:
            self._board = self._ray.remote(Board).options(num_cpus=0).remote()
        for _, result in self.map_indexed(items, lost):
            yield result

    def map_indexed(
        self,
        items: Iterable[Any],
        lost: "Lost | None" = None,
        room: Callable[[], bool] = lambda: True,
    ) -> Iterator[tuple[int, Any]]:
        """Map with the index of each item; no item starts without room for its result.

        Raises:
            BenchError: as `map`.
        """
        given = (_Task(index, item) for index, item in enumerate(items))
        while True:
            self._hand_out(given, room)
            if not self._queue and not any(worker.tasks for worker in self._workers):
                return
            for reference in self._answers(None):
                worker = self._waiting.get(reference)
                if worker is None:  # from a worker that was just given up
                    continue
                if not worker.loaded:
                    self._loaded(reference)
                    continue
                for index, result in self._result(reference, worker, lost or _must_not_be_lost):
                    yield index, result
                    self._hand_out(given, room)

    def _answers(self, timeout: float | None) -> list[Any]:
        while True:
            wait = LOOKS if self._watch and timeout is None else timeout
            ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=wait)
            if ready or not self._watch or timeout is not None:
                return ready
            self._look(self._watch)

    def _look(self, watch: Watch) -> None:
        """Report the workers' progress; losing the board only loses the report."""
        from ray.exceptions import RayError

        with suppress(RayError):
            watch(self._ray.get(self._board.total.remote(), timeout=LOOKS))

    def _hand_out(self, given: Iterator[_Task], room: Callable[[], bool]) -> None:
        """Give tasks to the least busy workers until all have enough or none are left."""
        for enough in range(1, _IN_HAND + 1):
            for worker in self._workers:
                while worker.loaded and len(worker.tasks) < enough:
                    if not self._queue:
                        if not room() or (task := next(given, None)) is None:
                            return
                        self._queue.append(task)
                    if not worker.may_have(self._queue[0]):
                        break
                    self._give(worker, self._queue.popleft())

    def _give(self, worker: _Worker, task: _Task) -> None:
        worker.tasks.append(task)
        board = (self._board, worker.number) if self._watch else ()
        self._waiting[worker.actor.work.remote(task.item, *board)] = worker

    def _hire(self) -> None:
        self._hired += 1
        worker = _Worker(self._actor.remote(), self._hired)
        self._workers.append(worker)
        self._load(worker)

    def _load(self, worker: _Worker) -> None:
        self._waiting[worker.actor.load.remote(self._code, self._made, self._files, self._sent)] = (
            worker
        )

    def _loaded(self, reference: Any) -> None:
        """Mark a worker as loaded, or send the files it lacks."""
        from ray.exceptions import RayError, RayTaskError

        worker = self._waiting.pop(reference)
        try:
            lacking = self._ray.get(reference)
        except RayTaskError as error:
            raise_cause(error)
        except RayError as error:
            self._replace(worker, str(error))
            return
        for digest in lacking:
            if digest not in self._sent:  # in a list, so that only workers that lack it fetch it
                self._sent[digest] = [self._ray.put(self._files[digest].read_bytes())]
        if lacking:
            self._load(worker)
        else:
            worker.loaded = True

    def _result(self, reference: Any, worker: _Worker, lost: Lost) -> Iterator[tuple[int, Any]]:
        """Return a worker's result; if the worker died, handle the item with `lost`."""
        from ray.exceptions import RayError, RayTaskError

        try:
            result = self._ray.get(reference)
        except RayTaskError as error:
            if not isinstance(error.cause, Unusable):
                raise_cause(error)
            self._replace(worker, str(error.cause))
            return
        except RayError as error:  # the worker, its machine or its result is lost
            yield from self._blame(worker, str(error), lost)
            return
        del self._waiting[reference]
        self._ended = 0
        yield worker.tasks.popleft().index, result

    def _blame(self, worker: _Worker, why: str, lost: Lost) -> Iterator[tuple[int, Any]]:
        """Replace a dead worker and count its death against its current item."""
        worker.tasks[0].deaths += 1
        suspect = worker.tasks.popleft() if worker.tasks[0].deaths >= _DEATHS else None
        self._replace(worker, why)
        if suspect is not None:
            pieces, results = lost(suspect.item, why)
            self._queue.extendleft(_Task(suspect.index, piece) for piece in reversed(pieces))
            for result in results:
                yield suspect.index, result

    def _replace(self, worker: _Worker, why: str) -> None:
        """Replace a dead worker; its tasks are repeated first."""
        self._ray.kill(worker.actor)
        if self._board is not None:
            self._board.note.remote(worker.number, 0.0)
        self._workers.remove(worker)
        self._waiting = {ref: other for ref, other in self._waiting.items() if other is not worker}
        self._queue.extendleft(reversed(worker.tasks))
        self._ended += 1
        if self._ended > 10 + self.size:
            raise BenchError(
                f"Workers die as soon as they start ({first_line(why)}): "
                "fix that, then run the same command to continue."
            )
        self._hire()


def _must_not_be_lost(item: Any, why: str) -> tuple[list[Any], list[Any]]:
    raise BenchError(
        f"A worker died twice on the same batch, perhaps out of memory "
        f"({first_line(why)}); run the same command to continue."
    )


def raise_cause(error: Any) -> NoReturn:
    """Raise the exception of a worker.

    Raises:
        BenchError: the worker raised one, or a package is missing there.
    """
    cause = error.cause
    if isinstance(cause, BenchError):
        raise type(cause)(str(cause)) from None
    if isinstance(cause, ModuleNotFoundError):
        raise BenchError(
            f"{cause.name} is not installed on every machine of the cluster: install the same "
            "bench there, with the same packages."
        ) from None
    raise error


def tell_to_wait(resources: Mapping[str, float]) -> None:
    """Notify that no worker could be placed yet; `resources` is the request."""
    wanted = " and ".join(f"{n:g} {name[4:].upper()}" for name, n in resources.items() if n)
    notice(f"Waiting for the cluster to provide a worker, which needs {wanted}.")


def first_line(text: str) -> str:
    """Return the first line of Ray's message, without the full stop."""
    return text.strip().partition("\n")[0].rstrip(".:")
