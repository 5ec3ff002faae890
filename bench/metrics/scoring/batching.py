"""Score images on disk, computing only missing values.

Images are scored in chunks. The results of all runs for one image are adjacent, because they share
its original. The values of a chunk are passed on at once, so that a killed command loses one chunk;
its images are then freed, so that memory does not grow with their number.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.concurrency import OrderedMap
from bench.core.errors import BenchError
from bench.core.progress import progress
from bench.metrics.base import Measure, SetMetric
from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.scoring.compute import Key, Scored, Task, Value, made_by, noted, score_tasks
from bench.metrics.scoring.devices import score_on
from bench.metrics.scoring.remote import score_away

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    import pandas as pd

COLUMNS = ("image", "metric", "identity", "sr_sha256", "reference_sha256", "value", "note")
"""For set metrics `image` is empty and both hashes are hashes of sets. `note` says why a computed
metric has no value; `value` is then NaN."""

Rows = list[dict[str, Any]]

_Asked = tuple[int, Task]  # with the number of its table

_FILES = 64  # at a time: results and what they are measured against


@dataclass(frozen=True)
class Wanted:
    """A requested table of scores, such as that of a run.

    Both functions are called twice, so that no table is in memory while images are scored.

    Attributes:
        tasks: what to measure, in the order of the rows.
        known: the table so far, with all rows that `keep` was given. A value is taken from it where
            the metric's key and both hashes agree, whatever the image is called.
        keep: is given the rows of every chunk as soon as they are there.
    """

    tasks: Callable[[], Iterable[Task]]
    known: "Callable[[], pd.DataFrame | None]"
    keep: Callable[[Rows], None]


def evaluate(
    tables: Sequence[Wanted],
    features: FeatureCache,
    spread: OrderedMap | None = None,
    devices: Sequence[str] = ("cpu",),
) -> "Iterator[pd.DataFrame]":
    """Compute all missing values in one pass over the images of all tables.

    Args:
        tables: the values to compute.
        features: cache of features.
        spread: maps the work over a cluster (default: this process).
        devices: devices of this process, see `bench.metrics.scoring.devices.find_devices`.

    Returns:
        The complete tables, each built on demand: one row per task, then one per set, with
        `COLUMNS`. `value` is float64; PSNR may be infinite.

    Raises:
        BenchError: a file can't be read, an image differs in size from its original or is too
            small for a metric, or a table of known values is malformed.
    """
    pending: list[_Asked] = []
    sets: list[tuple[int, Key, list[Task]]] = []
    for number, table in enumerate(tables):
        known = _known(table.known())
        single, of_sets = _kinds(table.tasks())
        lacking = {key: members for key, members in of_sets.items() if key not in known}
        sets += [(number, key, members) for key, members in lacking.items()]
        wanted = chain((t for t in single if t.key not in known), *lacking.values())
        pending += [(number, task) for task in wanted]
    with progress("Scoring", _results(pending)) as advance:
        chunks = list(_chunks(pending))
        for chunk, found in zip(chunks, _scored(chunks, features, spread, devices), strict=True):
            rows: defaultdict[int, Rows] = defaultdict(list)
            for number, task in chunk:
                if task.key in found:
                    rows[number].append(_row(task.key, task.image, task.measure, found[task.key]))
            for number, of_table in rows.items():
                tables[number].keep(of_table)
            advance(_results(chunk))
        for number, key, members in sets:
            measure = members[0].measure
            advance(0, measure.title)
            tables[number].keep([_row(key, "", measure, _measure(members, features))])
    return map(_table, tables)


def _table(wanted: Wanted) -> "pd.DataFrame":
    import pandas as pd

    known = _known(wanted.known())
    single, sets = _kinds(wanted.tasks())
    rows = [_row(task.key, task.image, task.measure, known[task.key]) for task in single]
    rows += [_row(key, "", members[0].measure, known[key]) for key, members in sets.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {column: "float64" if column == "value" else "str" for column in COLUMNS}
    )


def _row(key: Key, image: str, measure: Measure, value: Value) -> dict[str, Any]:
    return dict(zip(COLUMNS, (image, measure.name, *key, *value), strict=True))


def _known(table: "pd.DataFrame | None") -> Scored:
    """Return the known values of a table; NaN without a note means unknown."""
    if table is None:
        return {}
    if absent := [column for column in COLUMNS if column not in table.columns]:
        raise BenchError(
            f"The earlier metrics lack {', '.join(absent)}: delete them to compute them anew."
        )
    columns = (table[column] for column in COLUMNS[2:])
    return {
        (key, sr, reference): (float(value), note)
        for key, sr, reference, value, note in zip(*columns, strict=True)
        if note or not math.isnan(value)
    }


def _kinds(tasks: Iterable[Task]) -> tuple[list[Task], dict[Key, list[Task]]]:
    """Return per-image tasks, and set tasks by the key of their value."""
    from bench.store.run import set_sha256

    single: list[Task] = []
    members: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        (members[task.identity] if isinstance(task.measure, SetMetric) else single).append(task)
    return single, {
        (key, set_sha256(t.sr.sha256 for t in of), set_sha256(t.reference.sha256 for t in of)): of
        for key, of in members.items()
    }


def _results(asked: Iterable[_Asked]) -> int:
    """Return the number of images to measure."""
    return len({task.sr.path for _, task in asked})


def _chunks(asked: Iterable[_Asked]) -> Iterator[list[_Asked]]:
    """Yield tasks in chunks of bounded file count, keeping an image's tasks together."""
    by_image: defaultdict[str, defaultdict[Path, list[_Asked]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for number, task in asked:
        by_image[task.image][task.sr.path].append((number, task))
    of_images = (_packed(results.values()) for results in by_image.values())
    return _packed(chain.from_iterable(of_images))


def _packed(portions: Iterable[Sequence[_Asked]]) -> Iterator[list[_Asked]]:
    """Merge neighbouring lists up to a bounded file count."""
    packed: list[_Asked] = []
    files: set[Path] = set()
    for portion in portions:
        theirs = {picture.path for _, task in portion for picture in (task.sr, task.reference)}
        if packed and len(files | theirs) > _FILES:
            yield packed
            packed, files = [], set()
        packed += portion
        files |= theirs
    if packed:
        yield packed


def _scored(
    chunks: Iterable[Sequence[_Asked]],
    features: FeatureCache,
    spread: OrderedMap | None,
    devices: Sequence[str],
) -> Iterator[Scored]:
    """Yield the values of each chunk in order."""
    tasks = ([task for _, task in chunk] for chunk in chunks)
    if spread is not None:
        return score_away(spread, tasks, features)
    if tuple(devices) == ("cpu",):
        return (score_tasks(of_chunk, features) for of_chunk in tasks)
    return score_on(devices, tasks, features)


def _measure(members: list[Task], cache: FeatureCache) -> Value:
    """Compute the value of a set metric."""
    metric = members[0].measure
    assert isinstance(metric, SetMetric)
    sr, hr = zip(*sorted((task.sr.sha256, task.reference.sha256) for task in members), strict=True)
    restored, originals = made_by(metric)
    return noted(
        metric.measure(FeatureTable(cache, restored, sr), FeatureTable(cache, originals, hr))
    )
