"""Repetitions of a run as one row of a table. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from bench.report.tables.table import Row, common_images


def fold(rows: Sequence[Row], between: Collection[str] = ()) -> Row:
    """Return one row for all repetitions with mean values, keeping each repetition's row.

    An image, or a value of the whole set, counts only if every repetition has it. Metrics in
    `between` compare repetitions: they have one value for all, and none for a single repetition.
    """
    first, *others = rows
    if not others:
        return first
    scores = {
        metric: {
            image: fmean(row.scores[metric][image] for row in rows)
            for image in common_images(metric, rows)
        }
        for metric in first.scores
        if all(row.scores.get(metric) for row in rows)
    }
    undefined: dict[str, dict[str, str]] = {}
    for row in rows:
        for metric, images in row.undefined.items():
            undefined.setdefault(metric, {}).update(images)
    return replace(
        first,
        scores={metric: of for metric, of in scores.items() if of},
        images_done=min(row.images_done for row in rows),
        missing={metric: why for row in reversed(rows) for metric, why in row.missing.items()},
        whole=_means([row.whole for row in rows]),
        errors=_means([row.errors for row in rows]),  # same images: no smaller
        undefined=undefined,
        repetitions=tuple(
            replace(row, scores={m: of for m, of in row.scores.items() if m not in between})
            for row in rows
        ),
    )


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of the metrics that all rows have."""
    shared = set(values[0]).intersection(*values)
    return {metric: fmean(of[metric] for of in values) for metric in shared}
