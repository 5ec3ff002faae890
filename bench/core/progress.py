"""Progress bars with time left on standard error; silent if it is not a terminal."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


class Advance(Protocol):
    """Advances a bar by `count` units; `note` is shown at its end.

    `part` is how much of the units under way is done.
    """

    def __call__(
        self, count: int = 1, note: str | None = None, part: float | None = None
    ) -> None: ...


@contextmanager
def progress(label: str, total: int | None, done: int = 0, shown: bool = True) -> Iterator[Advance]:
    """Show a bar over `total` units (None: unknown), of which `done` are finished.

    If several processes share the work, set `shown` in only one.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    hidden = not (shown and console.is_terminal)
    # A step of a slow method can take longer than Rich's 30 seconds.
    with Progress(*columns, console=console, disable=hidden, speed_estimate_period=3600) as bar:
        task = bar.add_task(label, total=total, completed=done, note="")
        state = {"done": done, "part": 0.0}
        lock = threading.Lock()

        def advance(count: int = 1, note: str | None = None, part: float | None = None) -> None:
            with lock:
                state["done"] += count
                state["part"] = state["part"] if part is None else part
                bar.update(task, completed=state["done"] + state["part"])
                if note is not None:
                    bar.update(task, note=note)

        yield advance


def notice(text: str) -> None:
    """Print a line on standard error."""
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def track(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items while showing a bar."""
    with progress(label, total) as advance:
        for item in items:
            yield item
            advance()
