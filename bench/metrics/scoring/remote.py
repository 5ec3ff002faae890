"""Remote scoring: send files and known features, receive values."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench.core.concurrency import OrderedMap
from bench.core.errors import BenchError
from bench.metrics.base import FeatureMetric, Measure, SetMetric
from bench.metrics.features.cache import FeatureCache, kept_as
from bench.metrics.features.extractor import Features
from bench.metrics.scoring.compute import Picture, Scored, Task, score_tasks
from bench.metrics.scoring.devices import exact_float32, find_devices

Kept = Mapping[tuple[str, str], Features]
"""Features by extractor key and image hash."""


@dataclass(frozen=True)
class Parcel:
    """Tasks with the data of their images and known features."""

    tasks: Sequence[Task]
    features: Kept


class CarriedFeatures(FeatureCache):
    """Features in memory: received ones, and computed ones in `new`."""

    def __init__(self, came: Kept) -> None:
        self.new: dict[tuple[str, str], Features] = {}
        self._all = ChainMap(self.new, dict(came))

    def has(self, extractor: str, picture: str) -> bool:
        return (extractor, picture) in self._all

    def write(self, extractor: str, picture: str, features: Features) -> None:
        self.new[extractor, picture] = features

    def read(self, extractor: str, picture: str) -> Features:
        return self._all[extractor, picture]


def score_away(
    spread: OrderedMap, chunks: Iterable[Sequence[Task]], features: FeatureCache
) -> Iterator[Scored]:
    """Yield the values of every chunk in order, caching computed features locally.

    Raises:
        BenchError: an image can't be read or doesn't fit, or a metric can't be computed there as
            it would be here.
    """
    for found, new in spread(unpack_and_score, (_parcel(chunk, features) for chunk in chunks)):
        for (made_by, picture), values in new.items():
            features.write(made_by, picture, values)
        yield found


def unpack_and_score(parcel: Parcel) -> tuple[Scored, Kept]:
    """Score a parcel in a worker; return values by key and new features."""
    for task in parcel.tasks:
        _check(task.measure, task.identity)
    features = CarriedFeatures(parcel.features)
    device, *_ = find_devices("auto")  # among those that the worker was given
    with exact_float32():
        return score_tasks(parcel.tasks, features, device), features.new


@cache  # computed once: it looks up versions and files
def _check(measure: Measure, identity: str) -> None:
    reason = measure.unavailable()
    if reason is None and measure.key != identity:
        reason = "its packages or weights differ there"
    if reason is not None:
        raise BenchError(f"No {measure.title} on a machine of the cluster: {reason.rstrip('.')}.")


def _parcel(chunk: Sequence[Task], features: FeatureCache) -> Parcel:
    packed: dict[Path, Picture] = {}
    known: dict[tuple[str, str], Features] = {}

    def pack(picture: Picture) -> Picture:
        if picture.path not in packed:
            packed[picture.path] = replace(picture, data=picture.path.read_bytes())
        return packed[picture.path]

    tasks = [replace(task, sr=pack(task.sr), reference=pack(task.reference)) for task in chunk]
    for task in chunk:
        metric = task.measure
        if isinstance(metric, FeatureMetric | SetMetric):
            sides = ((metric.jpeg, task.sr), (metric.reference_jpeg, task.reference))
            for jpeg, picture in sides:
                key = kept_as(metric.extractor, jpeg), picture.sha256
                if key not in known and features.has(*key):
                    known[key] = features.read(*key)
    return Parcel(tasks, known)
