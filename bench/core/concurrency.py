"""Ordered maps over worker processes in bounded memory, and a thread for overlapping I/O."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar

from bench.core.errors import BenchError

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Any = object()


class OrderedMap(Protocol):
    """A `map` that runs elsewhere; results come in the order of the items."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Take items as needed; function and items must be picklable."""
        ...


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """Return the number of threads per process: OMP_NUM_THREADS, else all processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else processors()


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Map over `workers` processes, or in this one if `workers` is 1, in order.

    At most four items per worker are taken in advance. Processes, not threads, because Pillow's
    encoders hold the GIL.

    Raises:
        BenchError: a worker was killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    with _processes(workers) as pool:
        yield from _through(pool, function, items, 4 * workers)


def pooled_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Map like `parallel_map`, keeping the processes for the next call.

    For work in small portions, where starting processes each time would cost more than the work.
    The processes keep the environment of the first call.

    Raises:
        BenchError: a worker was killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    try:
        yield from _through(_pool(workers), function, items, 4 * workers)
    except BenchError:
        _pool.cache_clear()  # a pool that lost a process takes no more work
        raise


def _processes(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork would copy held locks
    return ProcessPoolExecutor(workers, context, initializer=end_with_parent)


_pool = cache(_processes)


def _through(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    in_advance: int,
) -> Iterator[Result]:
    try:
        yield from in_order(lambda item: pool.submit(function, item), items, in_advance)
    except BrokenProcessPool:
        raise BenchError(
            "A worker process was killed, perhaps out of memory: "
            "run the same command again to continue."
        ) from None


def in_order(
    submit: Callable[[Item], Future[Result]], items: Iterable[Item], in_advance: int
) -> Iterator[Result]:
    """Yield the results of submitted items in order, with a bounded number in flight."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(submit(item))
            if len(pending) > in_advance:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def end_with_parent() -> None:
    """Ignore interrupts, which the parent handles, and exit with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # spawned processes have one
    parent.join()
    os._exit(1)


@contextmanager
def prefetch(items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
    """Yield the items, prefetching up to `count` in a thread.

    An exception raised by making an item is raised in its place.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, iterator, _END) for _ in range(count))

        def made() -> Iterator[Item]:
            while (item := pending.popleft().result()) is not _END:
                pending.append(pool.submit(next, iterator, _END))
                yield item

        try:
            yield made()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def background_calls(count: int) -> Iterator[Callable[..., None]]:
    """Yield `submit(function, *arguments)`, which runs calls in one thread, in order.

    It blocks while `count` calls wait, and raises what an earlier call raised.
    All calls are done when the context ends, also after an interruption. A call that raises cancels
    those after it.
    """
    pending: deque[Future[object]] = deque()

    def wait_for(left: int) -> None:
        while len(pending) > left:
            try:
                pending.popleft().result()
            except BaseException:
                for future in pending:
                    future.cancel()
                pending.clear()
                raise

    with ThreadPoolExecutor(1) as pool:

        def submit(function: Callable[..., object], *arguments: Any) -> None:
            pending.append(pool.submit(function, *arguments))
            wait_for(count)

        try:
            yield submit
        finally:
            wait_for(0)
