"""Progress bars with time left, on standard error; silent where there is nobody to watch."""

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
    """Tell the bar that `count` more units are done; `note` is shown at its end."""

    def __call__(self, count: int = 1, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int | None, done: int = 0, shown: bool = True) -> Iterator[Advance]:
    """Show a bar over `total` units (None: unknown) of which `done` are finished.

    Of several processes at the same work one has it `shown`.
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
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(label, total=total, completed=done, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=note)

        yield advance


def notice(text: str) -> None:
    """Print a line on standard error."""
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def track(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items while a bar counts them."""
    with progress(label, total) as advance:
        for item in items:
            yield item
            advance()
