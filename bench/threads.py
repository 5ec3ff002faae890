"""One thing while another is waited for: reading ahead, and writing behind, each in one thread.

Threads and not processes: what overlaps is the disk's time, or an accelerator's, with ours.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")

_END: Any = object()


@contextmanager
def ahead(items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
    """The same items in their order, up to `count` of them made before they are asked for.

    What making one raises is raised where that item would have come.
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


class Later(Protocol):
    """Call a function soon, behind those that were given before."""

    def __call__(self, function: Callable[..., object], *arguments: Any) -> None:
        """Wait while too many are waiting; raise what one of them raised."""
        ...


@contextmanager
def behind(count: int) -> Iterator[Later]:
    """Calls in a thread, in their order, at most `count` of them waiting.

    All are done when the context ends, also where it ends by an interruption. After a call that
    raised none is begun any more.
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

        def later(function: Callable[..., object], *arguments: Any) -> None:
            pending.append(pool.submit(function, *arguments))
            wait_for(count)

        try:
            yield later
        finally:
            wait_for(0)
