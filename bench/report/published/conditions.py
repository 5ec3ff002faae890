"""Conditions of published measurements, read from `results/published/conditions.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.core.config import read_toml
from bench.core.validation import build

FILE_NAME = "conditions.toml"


@dataclass(frozen=True)
class Conditions:
    """Conditions of a paper's measurements; None where unknown.

    Attributes:
        size: size of the results in pixels.
        images: number of images per test set.
        protocol: our name of the protocol.
        note: sentence added to every value.
        weights: method -> kind of network -> public checkpoint, "" if none was published.
        settings: method -> setting -> its value, or a table of values by scale ("x8", "real").
    """

    size: int | None = None
    images: int | None = None
    protocol: str | None = None
    note: str = ""
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings_of(self, method: str, scale: str) -> dict[str, Any]:
        """Return the settings of a method at a scale, "x8" or "real"."""
        at_scale = {
            name: value.get(scale) if isinstance(value, Mapping) else value
            for name, value in self.settings.get(method, {}).items()
        }
        return {name: value for name, value in at_scale.items() if value is not None}


def read_conditions(folder: Path) -> dict[str, Conditions]:
    """Return paper -> conditions; empty without a file.

    Raises:
        BenchError: the file can't be read, or has a key that means nothing.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return {}
    return {
        paper: build(Conditions, values, f"{file}, {paper}")
        for paper, values in read_toml(file).items()
    }
