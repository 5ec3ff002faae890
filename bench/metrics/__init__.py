"""Metrics. A module of this folder with a tuple `METRICS` adds its metrics."""

import importlib
import pkgutil
from collections import Counter
from functools import cache

from bench.core.errors import BenchError, WrongUsage
from bench.core.suggest import look_up
from bench.metrics.base import Measure, Metric
from bench.metrics.pyiqa_any import PREFIX, pyiqa_metric

__all__ = ["Measure", "Metric", "all_metrics", "find", "find_measure"]


def all_metrics() -> dict[str, Measure]:
    """Return all metrics by name, in table order, as a new dictionary.

    Raises:
        BenchError: two modules define the same name.
    """
    return dict(_scanned())


def find(name: str) -> Metric:
    """Return the per-image or set metric of this name.

    Raises:
        BenchError: no such metric, or one of features or of whole sets.
    """
    measure = find_measure(name)
    if not isinstance(measure, Metric):
        raise WrongUsage(f"{measure.title} has no value for a single pair of images.")
    return measure


def find_measure(name: str) -> Measure:
    """Return the metric or column of this name.

    Raises:
        BenchError: no such metric; the message suggests close names.
    """
    if name.startswith(PREFIX):
        return pyiqa_metric(name)
    return look_up(name, all_metrics(), "There is no metric", "`bench doctor` lists all.")


@cache
def _scanned() -> tuple[tuple[str, Measure], ...]:
    found: list[Measure] = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "METRICS", ())
    counts = Counter(metric.name for metric in found)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise BenchError(f"bench.metrics defines {', '.join(twice)} twice: rename one.")
    ordered = sorted(found, key=lambda metric: (metric.place, metric.name))
    return tuple((metric.name, metric) for metric in ordered)
