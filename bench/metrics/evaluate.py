"""Measures pictures on disk by any metrics, computing only what earlier tables lack.

Pictures come in chunks, the results of all runs for an image side by side, because they share its
original. What a chunk gives is handed over at once, so that a killed command loses one chunk, and
then its pictures are forgotten, so that memory does not grow with their number.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.metrics.chunk import Key, Scored, Task, Value, made_by, noted, score
from bench.metrics.features import FeatureCache, FeatureTable
from bench.metrics.metric import Measure, SetMetric
from bench.parallel import Spread
from bench.progress import progress

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    import pandas as pd

COLUMNS = ("image", "metric", "identity", "sr_sha256", "reference_sha256", "value", "note")
"""`image` is empty where a value is of a whole set, and both hashes are then those of sets; `note`
says why a value that was computed is none, and `value` is then not a number."""

Rows = list[dict[str, Any]]

_FILES = 64  # at a time: results and what they are measured against


@dataclass(frozen=True)
class Wanted:
    """A table that is asked for, such as that of a run.

    Attributes:
        tasks: what to measure, in the order of the rows.
        earlier: an earlier table. A value is taken from it where the metric's key and both hashes
            agree, whatever the image is called.
        keep: is given the rows of every chunk as soon as they are there.
    """

    tasks: Sequence[Task]
    earlier: "pd.DataFrame | None" = None
    keep: Callable[[Rows], None] = lambda rows: None


def evaluate(
    tables: Sequence[Wanted], features: FeatureCache, spread: Spread | None = None
) -> "list[pd.DataFrame]":
    """Measure what is asked for and not known yet, in one pass over the pictures of all tables.

    Args:
        tables: what an earlier one of them knows, all know.
        features: where features are kept.
        spread: does the work on pictures elsewhere; else it is done here.

    Returns:
        The tables, with one row per task, then one per set, and `COLUMNS`. `value` is float64; PSNR
        may be infinite.

    Raises:
        BenchError: a file can't be read, a picture differs in size from its original or is too
            small for a metric, or what is given as an earlier table isn't one.
    """
    known: Scored = {}
    for table in tables:
        known.update(_known(table.earlier))
    sets = [_sets(table.tasks) for table in tables]
    lines = [list(_lines(table.tasks, of)) for table, of in zip(tables, sets, strict=True)]
    places: defaultdict[Key, list[tuple[int, str, Measure]]] = defaultdict(list)
    for number, of_table in enumerate(lines):
        for key, image, measure in of_table:
            places[key].append((number, image, measure))

    def note(found: Scored) -> None:
        known.update(found)
        rows: defaultdict[int, Rows] = defaultdict(list)
        for key, value in found.items():
            for number, image, measure in places[key]:
                rows[number].append(_row(key, image, measure, value))
        for number, of_table in rows.items():
            tables[number].keep(of_table)

    unknown = {key: of for of_table in sets for key, of in of_table.items() if key not in known}
    pending = [
        task
        for table in tables
        for task in table.tasks
        if not isinstance(task.measure, SetMetric) and task.key not in known
    ]
    pending += chain.from_iterable(unknown.values())
    with progress("Scoring", _results(pending)) as advance:
        chunks = list(_chunks(pending))
        for chunk, found in zip(chunks, _scored(chunks, known, features, spread), strict=True):
            note(found)
            advance(_results(chunk))
        for key, members in unknown.items():
            advance(0, members[0].measure.title)
            note({key: _measure(members, features)})
    return [_table(of_table, known) for of_table in lines]


def _lines(
    tasks: Iterable[Task], sets: Mapping[Key, Sequence[Task]]
) -> Iterator[tuple[Key, str, Measure]]:
    """The rows of a table, without their values."""
    for task in tasks:
        if not isinstance(task.measure, SetMetric):
            yield task.key, task.image, task.measure
    for key, members in sets.items():
        yield key, "", members[0].measure


def _row(key: Key, image: str, measure: Measure, value: Value) -> dict[str, Any]:
    return dict(zip(COLUMNS, (image, measure.name, *key, *value), strict=True))


def _table(lines: Iterable[tuple[Key, str, Measure]], known: Scored) -> "pd.DataFrame":
    import pandas as pd

    rows = [_row(key, image, measure, known[key]) for key, image, measure in lines]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {column: "float64" if column == "value" else "str" for column in COLUMNS}
    )


def _known(cached: "pd.DataFrame | None") -> Scored:
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


def _sets(tasks: Iterable[Task]) -> dict[Key, list[Task]]:
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


def _results(tasks: Iterable[Task]) -> int:
    """How many pictures are measured."""
    return len({task.sr.path for task in tasks})


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """All tasks, those of so many files at a time; an image's stay together where they can."""
    by_image: defaultdict[str, defaultdict[Path, list[Task]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for task in tasks:
        by_image[task.image][task.sr.path].append(task)
    of_images = (_packed(results.values()) for results in by_image.values())
    return _packed(chain.from_iterable(of_images))


def _packed(portions: Iterable[Sequence[Task]]) -> Iterator[list[Task]]:
    """Neighbours in one list as long as that is of few enough files."""
    packed: list[Task] = []
    files: set[Path] = set()
    for portion in portions:
        theirs = {picture.path for task in portion for picture in (task.sr, task.reference)}
        if packed and len(files | theirs) > _FILES:
            yield packed
            packed, files = [], set()
        packed += portion
        files |= theirs
    if packed:
        yield packed


def _scored(
    chunks: Sequence[Sequence[Task]], known: Scored, features: FeatureCache, spread: Spread | None
) -> Iterator[Scored]:
    """What each chunk lacks, in their order."""
    if spread is None:
        return (score(chunk, known, features) for chunk in chunks)
    from bench.metrics.away import score_away

    return score_away(spread, chunks, features)


def _measure(members: list[Task], cache: FeatureCache) -> Value:
    """The value of a set."""
    metric = members[0].measure
    assert isinstance(metric, SetMetric)
    sr, hr = zip(*sorted((task.sr.sha256, task.reference.sha256) for task in members), strict=True)
    restored, originals = made_by(metric)
    return noted(
        metric.measure(FeatureTable(cache, restored, sr), FeatureTable(cache, originals, hr))
    )
