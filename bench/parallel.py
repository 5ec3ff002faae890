"""Work in several processes, with memory that does not grow with the amount of work."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Protocol, TypeVar

from bench.errors import BenchError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """`map` whose work is done elsewhere; results come in the order of the items."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Items are taken as they are needed; both functions and items can be pickled."""
        ...


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """How many threads one process is to compute in, by the rule of PyTorch and OpenMP."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else processors()


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`map` in `workers` processes; results come in the order of the items.

    Items are taken as they are needed, four per worker ahead. Processes, not threads, because
    Pillow's encoders hold Python's lock. One worker means this process.

    Raises:
        BenchError: a worker was ended from outside.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    with _processes(workers) as pool:
        yield from _through(pool, function, items, 4 * workers)


def kept_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`parallel_map` in processes that stay for the next call, until this one ends.

    For work that comes in portions, of which none is worth starting processes for each time. What
    they see of the environment is that of the first call.

    Raises:
        BenchError: a worker was ended from outside.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    try:
        yield from _through(_kept_processes(workers), function, items, 4 * workers)
    except BenchError:
        _kept_processes.cache_clear()  # after the end of one the others take no more work
        raise


def _processes(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a copy of this one would hold its locks
    return ProcessPoolExecutor(workers, context, initializer=end_with_parent)


_kept_processes = cache(_processes)


def _through(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise BenchError(
            "A worker process was ended from outside, perhaps for want of memory; "
            "the same command goes on."
        ) from None
    finally:
        for future in pending:
            future.cancel()


def end_with_parent() -> None:
    """Leave interrupts to the parent, and don't outlive it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # a spawned process has one
    parent.join()
    os._exit(1)
