"""List methods and whether each can run here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.engine.import_results import imported_names
from bench.engine.run import check_prerequisites
from bench.methods import configure, find_method, method_names


@dataclass(frozen=True)
class Overview:
    """Facts about one method; `reason` is why it cannot run, with the remedy."""

    name: str
    title: str = ""
    type: str = ""
    needs: tuple[str, ...] = ()
    licence: str = ""
    paper: str = ""
    reason: str = ""

    @property
    def runs(self) -> bool:
        return not self.reason


def all_methods(
    size: int,
    scale: int,
    settings: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, str],
    results: Path,
) -> list[Overview]:
    """Return all methods for a test set of this size and scale, then imported results.

    `settings` is method -> setting -> value, `weights` the chosen checkpoint of each kind of
    network.
    """
    methods = [_overview(name, size, scale, settings, weights) for name in method_names()]
    reason = "its results were imported; there is nothing to run."
    imported = [Overview(name, type="imported", reason=reason) for name in imported_names(results)]
    return [*methods, *imported]


def _overview(
    name: str,
    size: int,
    scale: int,
    settings: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, str],
) -> Overview:
    try:
        method = find_method(name)
    except BenchError as error:
        return Overview(name, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a file that is wrong must not hide the others
        return Overview(name, reason=f"its file is invalid: {type(error).__name__}: {error}.")
    reason = ""
    try:
        check_prerequisites(configure(method, scale, size, settings), size, weights)
    except BenchError as error:
        reason = str(error)
    needs = ("its program",) if method.fingerprint else tuple(sorted(method.needs))
    return Overview(name, method.title, method.kind, needs, method.licence, method.paper, reason)
