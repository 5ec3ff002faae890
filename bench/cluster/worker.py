"""Ray actors of a cluster, workers and the board of their progress, and hashes of their code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import sha256, sha256_file, sha256_json, write_bytes
from bench.core.paths import cache_folder, resource

Make = Callable[[Mapping[str, Path]], Callable[..., Any]]
"""Called in a worker with hash -> path of its files; returns the function applied to each item.

In a map with a `watch`, that function also gets a callback that takes its progress.
"""


class Unusable(Exception):
    """Raised in a worker that cannot continue, such as after a GPU failure; another replaces it."""


class WorkerActor:
    """Ray actor that loads a state once and works on items."""

    def load(
        self, expected: str, make: Make, files: Mapping[str, Path], sent: Mapping[str, list[Any]]
    ) -> list[str]:
        """Load the worker's state, or return the hashes of missing files."""
        import ray

        if code() != expected:
            raise BenchError(
                "A machine of the cluster has another version of bench: "
                "install the same version everywhere."
            )
        found: dict[str, Path] = {}
        for digest, path in files.items():
            kept = cache_folder() / "received" / digest / path.name
            if digest in sent:
                data = ray.get(sent[digest][0])
                if sha256(data) != digest:
                    raise BenchError(f"{path} has changed since the run began: run again.")
                write_bytes(kept, data)
            for place in (path, kept):
                if place.is_file() and sha256_file(place) == digest:
                    found[digest] = place
                    break
        if lacking := [digest for digest in files if digest not in found]:
            return lacking
        self._function = make(found)
        return []

    def work(self, item: Any, board: Any = None, number: int = 0) -> Any:
        """Return the result of an item, reporting progress to the board if there is one."""
        if board is None:
            return self._function(item)
        return self._function(item, lambda part: board.note.remote(number, part))


class Board:
    """Actor that stores each worker's progress on its item."""

    def __init__(self) -> None:
        self._parts: dict[int, float] = {}

    def note(self, worker: int, part: float) -> None:
        self._parts[worker] = part

    def total(self) -> float:
        return sum(self._parts.values())


def code() -> str:
    """Return the hash of bench's code and methods, independent of where they are installed."""
    folders = (Path(__file__).parents[1], resource("baselines"))
    return sha256_json(
        [{name: sha256(text) for name, text in programs(folder).items()} for folder in folders]
    )


def programs(folder: Path) -> dict[str, bytes]:
    """Return relative name -> Python or TOML file of a folder, without bundled folders."""
    files = sorted((*folder.rglob("*.py"), *folder.rglob("*.toml")))
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {n: path.read_bytes() for n, path in named.items() if not n.startswith("shipped/")}
