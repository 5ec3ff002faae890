"""Score a chunk of images, decoding each file once for all metrics."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from bench.core.errors import BenchError
from bench.core.memory import free_device_memory, lacks_memory
from bench.images import Pixels, decode, read_image
from bench.metrics.base import FeatureMetric, Measure, Metric, SetMetric, size
from bench.metrics.features.cache import FeatureCache, kept_as
from bench.metrics.protocol import through_jpeg

Item = TypeVar("Item")
Result = TypeVar("Result")

Key = tuple[str, str, str]  # key of the metric, hash of the picture, hash of its reference
Value = tuple[float, str]  # with a note that says why there is no value
Scored = dict[Key, Value]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file and its sha256; `data` holds its bytes on another machine."""

    path: Path
    sha256: str
    data: bytes | None = field(default=None, repr=False)

    def pixels(self) -> Pixels:
        """Return the image [H, W, 3].

        Raises:
            BenchError: the file can't be read, or has another hash.
        """
        if self.data is None:
            return read_image(self.path, self.sha256)
        return np.asarray(decode(self.data, str(self.path)))


@dataclass(frozen=True, slots=True)
class Task:
    """One image to score against one reference, or one image of a set to extract features from.

    Attributes:
        image: id in tables.
        measure: the metric, which must be available.
        identity: `measure.key`, computed once because it looks up versions and files.
        sr: the image.
        reference: the kind of image that `measure.reference` names.
    """

    image: str
    measure: Measure
    identity: str
    sr: Picture
    reference: Picture

    @property
    def key(self) -> Key:
        return self.identity, self.sr.sha256, self.reference.sha256


def score_tasks(
    chunk: Sequence[Task],
    features: FeatureCache,
    device: str = "cpu",
    decoded: "Decoded | None" = None,
) -> Scored:
    """Compute all per-image tasks; identical pairs of files are computed once.

    `decoded` has the images that were decoded in advance.
    """
    decoded = decoded or Decoded()
    groups: defaultdict[str, dict[Key, Task]] = defaultdict(dict)
    for task in chunk:
        groups[task.identity][task.key] = task
    found: Scored = {}
    for group in groups.values():
        tasks = list(group.values())
        match tasks[0].measure.on(device):
            case Metric() as metric:
                values = halved(
                    partial(_score_pairs, metric), [decoded.pair(task) for task in tasks]
                )
                found.update(zip(group, map(noted, values), strict=True))
            case FeatureMetric() as metric:
                _extract(metric, tasks, decoded, features)
                ways = made_by(metric)
                for key, task in group.items():
                    files = (task.sr.sha256, task.reference.sha256)
                    found[key] = noted(metric.compare(*map(features.read, ways, files)))
            case SetMetric() as metric:
                _extract(metric, tasks, decoded, features)
    return found


def _score_pairs(metric: Metric, pairs: list[tuple[Pixels, Pixels]]) -> list[float]:
    return metric.score([sr for sr, _ in pairs], [hr for _, hr in pairs])


def halved(function: Callable[[list[Item]], list[Result]], items: list[Item]) -> list[Result]:
    """Apply a function to a list, halving the list when out of memory.

    Raises:
        BenchError: out of memory on a single item.
    """
    try:
        return function(items)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        if len(items) == 1:
            raise BenchError(
                "Out of memory on one image: free memory, or give `--device cpu` if a GPU ran out."
            ) from None
    free_device_memory()
    middle = len(items) // 2
    return halved(function, items[:middle]) + halved(function, items[middle:])


class Decoded:
    """Decoded images of a chunk."""

    def __init__(self) -> None:
        self._pixels: dict[tuple[Path, bool], Pixels] = {}

    @classmethod
    def of(cls, chunk: Sequence[Task]) -> Self:
        """Decode all images of a chunk.

        Raises:
            BenchError: an image can't be read.
        """
        decoded = cls()
        for task in chunk:
            decoded.picture(task.sr, task.measure.jpeg)
            decoded.picture(task.reference, task.measure.reference_jpeg)
        return decoded

    def pair(self, task: Task) -> tuple[Pixels, Pixels]:
        """Return the image and its reference.

        Raises:
            BenchError: an image can't be read, or the sizes differ where they must not.
        """
        measure = task.measure
        picture = self.picture(task.sr, measure.jpeg)
        reference = self.picture(task.reference, measure.reference_jpeg)
        if measure.reference != "lr" and picture.shape != reference.shape:
            raise BenchError(
                f"{task.sr.path} is {size(picture)} but its original {task.reference.path} is "
                f"{size(reference)}: run the method again for this test set."
            )
        return picture, reference

    def picture(self, picture: Picture, jpeg: bool) -> Pixels:
        """Return an image [H, W, 3], optionally JPEG-compressed."""
        place = (picture.path, jpeg)
        if place not in self._pixels:
            self._pixels[place] = (
                through_jpeg(self.picture(picture, jpeg=False)) if jpeg else picture.pixels()
            )
        return self._pixels[place]


def _extract(
    metric: FeatureMetric | SetMetric, tasks: list[Task], decoded: Decoded, cache: FeatureCache
) -> None:
    """Extract and cache missing features of these tasks' images and originals."""
    restored, original = made_by(metric)
    lacking: dict[tuple[str, str], tuple[Picture, bool]] = {}
    for task in tasks:
        lacking[restored, task.sr.sha256] = task.sr, metric.jpeg
        lacking[original, task.reference.sha256] = task.reference, metric.reference_jpeg
    lacking = {key: of for key, of in lacking.items() if not cache.has(*key)}
    if not lacking:
        return
    pictures = [decoded.picture(*of) for of in lacking.values()]
    found = halved(partial(metric.extractor.extract, device=metric.device), pictures)
    for (key, (picture, _)), features in zip(lacking.items(), found, strict=True):
        if not all(np.isfinite(values).all() for values in features.values()):
            raise BenchError(
                f"{metric.title}: the features of {picture.path} are not finite numbers: "
                "look at the picture, and at the weights."
            )
        cache.write(*key, features)


def made_by(metric: FeatureMetric | SetMetric) -> tuple[str, str]:
    """Return the cache keys of a metric's features: results, then references."""
    extractor = metric.extractor
    return kept_as(extractor, metric.jpeg), kept_as(extractor, metric.reference_jpeg)


def noted(value: float | str) -> Value:
    """Return a metric's result as tables store it: a number, or NaN with the reason."""
    if isinstance(value, str):
        return math.nan, value
    return value, "the value is not a number" if math.isnan(value) else ""
