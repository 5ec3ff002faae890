"""A registry of networks for tests, in place of the shipped one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.networks.registry import records

Register = Callable[[str], None]


@contextmanager
def registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Yield a function that makes a TOML text the registry."""
    file = folder / "records.toml"

    def register(text: str) -> None:
        file.write_text(text)
        monkeypatch.setattr(records, "_FILE", file)
        records.records.cache_clear()

    yield register
    records.records.cache_clear()


def table(name: str, **values: object) -> str:
    """Return a record as TOML, with the required values filled in."""
    values = {"title": "A network", "file": f"{name}.pth", "licence": "MIT", **values}
    if not values.keys() & {"sources", "by_hand"}:
        values["sources"] = ["https://localhost/none"]
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else repr(value)
