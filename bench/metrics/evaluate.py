"""Measures pictures on disk by any metrics, computing only what an earlier table lacks.

Pictures come in chunks: each file of a chunk is decoded once for all metrics, what they give is
handed over at once so that a killed command loses one chunk, and then the pictures are forgotten,
so that memory does not grow with their number.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.metrics.features import FeatureCache, FeatureTable, kept_as
from bench.metrics.metric import FeatureMetric, Measure, Metric, SetMetric, size
from bench.metrics.protocol import through_jpeg
from bench.parallel import Spread
from bench.progress import progress

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    import pandas as pd

    from bench.images import Pixels

COLUMNS = ("image", "metric", "identity", "sr_sha256", "reference_sha256", "value", "note")
"""`image` is empty where a value is of a whole set, and both hashes are then those of sets; `note`
says why a value that was computed is none, and `value` is then not a number."""

_CHUNK = 16  # images at a time

_Key = tuple[str, str, str]  # key of the metric, hash of the picture, hash of its reference
_Value = tuple[float, str]  # with its note

Scored = dict[_Key, _Value]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """A picture on disk and the sha256 of its file; with its `data` where it is far from there."""

    path: Path
    sha256: str
    data: bytes | None = field(default=None, repr=False)

    def pixels(self) -> "Pixels":
        """The picture [H, W, 3].

        Raises:
            BenchError: it can't be read, or is not the file of the hash.
        """
        from bench.images import decode, read_image

        if self.data is None:
            return read_image(self.path, self.sha256)
        return np.asarray(decode(self.data, str(self.path)))


@dataclass(frozen=True)
class Task:
    """One picture to measure against one reference; those of a set's metric only add to the set.

    Attributes:
        image: what tables call it.
        measure: by what; it must be available.
        identity: `measure.key`, asked for once: it looks up versions and files.
        sr: the picture.
        reference: what `measure.reference` asks for.
    """

    image: str
    measure: Measure
    identity: str
    sr: Picture
    reference: Picture

    @property
    def key(self) -> _Key:
        return self.identity, self.sr.sha256, self.reference.sha256


def evaluate(
    tasks: Sequence[Task],
    cached: "pd.DataFrame | None",
    features: FeatureCache,
    keep: Callable[[Rows], None] = lambda rows: None,
    spread: Spread | None = None,
) -> "pd.DataFrame":
    """Measure what is asked for and not known yet.

    Args:
        tasks: what to measure, in the order wanted.
        cached: an earlier result. A value is taken from it where the metric's key and both hashes
            agree, whatever the image is called.
        features: where features are kept.
        keep: is given the rows of every chunk as soon as they are there.
        spread: does the work on pictures elsewhere; else it is done here.

    Returns:
        One row per task, and per set one in the end, with `COLUMNS`. `value` is float64; PSNR may
        be infinite.

    Raises:
        BenchError: a file can't be read, a picture differs in size from its original or is too
            small for a metric, or `cached` isn't such a table.
    """
    import pandas as pd

    known = _known(cached)
    single = [task for task in tasks if not isinstance(task.measure, SetMetric)]
    sets = _sets(tasks)
    pending = [task for task in single if task.key not in known]
    for key, members in sets.items():
        pending += members if key not in known else []
    images = len({task.image for task in pending})
    with progress("Scoring", images) as advance:
        chunks = list(_chunks(pending))
        for chunk, found in zip(chunks, _scored(chunks, known, features, spread), strict=True):
            known.update(found)
            keep(_rows([task for task in chunk if task.key in found], found))
            advance(len({task.image for task in chunk}))
        for key, members in sets.items():
            if key not in known:
                advance(0, members[0].measure.title)
                known[key] = _measure(members, features)
                keep([_row("", members[0].measure, key, known[key])])
    rows = _rows(single, known)
    rows += [_row("", members[0].measure, key, known[key]) for key, members in sets.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {column: "float64" if column == "value" else "str" for column in COLUMNS}
    )


def _row(image: str, measure: Measure, key: _Key, value: _Value) -> dict[str, Any]:
    return dict(zip(COLUMNS, (image, measure.name, *key, *value), strict=True))


def _rows(tasks: Iterable[Task], values: dict[_Key, _Value]) -> Rows:
    return [_row(task.image, task.measure, task.key, values[task.key]) for task in tasks]


def _known(cached: "pd.DataFrame | None") -> dict[_Key, _Value]:
    """The values of an earlier table; an absent one without a note doesn't count as known."""
    if cached is None:
        return {}
    if absent := [column for column in COLUMNS if column not in cached.columns]:
        raise BenchError(
            f"The earlier metrics lack {', '.join(absent)}: delete them to compute them anew."
        )
    columns = (cached[column] for column in COLUMNS[2:])
    return {
        (key, sr, reference): (float(value), note)
        for key, sr, reference, value, note in zip(*columns, strict=True)
        if note or not math.isnan(value)
    }


def _sets(tasks: Iterable[Task]) -> dict[_Key, list[Task]]:
    """The tasks of each set's metric by the key of its value."""
    from bench.store import set_sha256

    members: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        if isinstance(task.measure, SetMetric):
            members[task.identity].append(task)
    return {
        (key, set_sha256(t.sr.sha256 for t in of), set_sha256(t.reference.sha256 for t in of)): of
        for key, of in members.items()
    }


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """All tasks of so many images at a time."""
    by_image: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        by_image[task.image].append(task)
    images = list(by_image.values())
    for start in range(0, len(images), _CHUNK):
        yield [task for of_image in images[start : start + _CHUNK] for task in of_image]


def _scored(
    chunks: Sequence[Sequence[Task]], known: Scored, features: FeatureCache, spread: Spread | None
) -> Iterator[Scored]:
    """What each chunk lacks, in their order."""
    if spread is None:
        return (score(chunk, known, features) for chunk in chunks)
    from bench.metrics.away import score_away

    return score_away(spread, chunks, features)


def score(chunk: Sequence[Task], known: Scored, features: FeatureCache) -> Scored:
    """The values that a chunk lacks; pairs of equal files are computed once."""
    decoded = _Decoded()
    groups: defaultdict[str, dict[_Key, Task]] = defaultdict(dict)
    for task in chunk:
        if task.key not in known:
            groups[task.identity][task.key] = task
    found: Scored = {}
    for group in groups.values():
        tasks = list(group.values())
        match tasks[0].measure:
            case Metric() as metric:
                pairs = [decoded.pair(task) for task in tasks]
                values = metric.score([sr for sr, _ in pairs], [hr for _, hr in pairs])
                found.update(zip(group, map(_noted, values), strict=True))
            case FeatureMetric() as metric:
                _extract(metric, tasks, decoded, features)
                made_by = _made_by(metric)
                for key, task in group.items():
                    files = (task.sr.sha256, task.reference.sha256)
                    found[key] = _noted(metric.compare(*map(features.read, made_by, files)))
            case SetMetric() as metric:
                _extract(metric, tasks, decoded, features)
    return found


class _Decoded:
    """The pictures of a chunk, each file decoded once."""

    def __init__(self) -> None:
        self._pixels: dict[tuple[Path, bool], Pixels] = {}

    def pair(self, task: Task) -> "tuple[Pixels, Pixels]":
        """The picture and its reference.

        Raises:
            BenchError: one can't be read, or the sizes differ where they must not.
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

    def picture(self, picture: Picture, jpeg: bool) -> "Pixels":
        place = (picture.path, jpeg)
        if place not in self._pixels:
            self._pixels[place] = (
                through_jpeg(self.picture(picture, jpeg=False)) if jpeg else picture.pixels()
            )
        return self._pixels[place]


def _extract(
    metric: FeatureMetric | SetMetric, tasks: list[Task], decoded: _Decoded, cache: FeatureCache
) -> None:
    """Keep the features of these tasks' pictures and originals that are not there yet."""
    extractor = metric.extractor
    sides = ([task.sr for task in tasks], [task.reference for task in tasks])
    kept = (metric.jpeg, metric.reference_jpeg)
    for made_by, jpeg, pictures in zip(_made_by(metric), kept, sides, strict=True):
        lacking = {p.sha256: p for p in pictures if not cache.has(made_by, p.sha256)}
        if lacking:
            pixels = [decoded.picture(picture, jpeg) for picture in lacking.values()]
            for picture, features in zip(lacking.values(), extractor.extract(pixels), strict=True):
                if not all(np.isfinite(values).all() for values in features.values()):
                    raise BenchError(
                        f"{metric.title}: the features of {picture.path} are not finite numbers: "
                        "look at the picture, and at the weights."
                    )
                cache.write(made_by, picture.sha256, features)


def _made_by(metric: FeatureMetric | SetMetric) -> tuple[str, str]:
    """How the features of pictures were made, and those of references."""
    extractor = metric.extractor
    return kept_as(extractor, metric.jpeg), kept_as(extractor, metric.reference_jpeg)


def _measure(members: list[Task], cache: FeatureCache) -> _Value:
    """The value of a set."""
    metric = members[0].measure
    assert isinstance(metric, SetMetric)
    sr, hr = zip(*sorted((task.sr.sha256, task.reference.sha256) for task in members), strict=True)
    made_by, originals = _made_by(metric)
    return _noted(
        metric.measure(FeatureTable(cache, made_by, sr), FeatureTable(cache, originals, hr))
    )


def _noted(value: float | str) -> _Value:
    if isinstance(value, str):
        return math.nan, value
    return value, "the value is not a number" if math.isnan(value) else ""
