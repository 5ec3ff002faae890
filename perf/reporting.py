"""One side of a comparison of reports: `python -m perf.reporting SIDE statistics`.

A table of 12 methods by 8 metrics on 1,000 images: means, their intervals from 2,000 resamples, and
signed-rank tests of all pairs of methods. "plain" calls scipy.stats for each cell and pair, as its
documentation shows, and so resamples every method separately.
"""

import sys
import time
from itertools import combinations
from typing import Any

import numpy as np

from bench.report.renderers.plain import to_json
from bench.report.statistics import RESAMPLES
from bench.report.tables.table import Column, Row, Table

IMAGES, METHODS, METRICS = 1000, 12, 8


def scores() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return scores [metrics, methods, images]; images differ more than methods."""
    random = np.random.default_rng(0)
    hard = random.normal(25, 3, (METRICS, 1, IMAGES))
    falling = 0.1 * np.arange(METHODS)[:, None]
    return hard - falling + random.normal(0, 1, (METRICS, METHODS, IMAGES))


def ours(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Make the whole table, as JSON."""
    columns = tuple(Column(f"m{k}", f"M{k}", True, 2) for k in range(METRICS))
    names = [f"face-{i:04}" for i in range(IMAGES)]
    rows = tuple(
        Row(
            f"r{m}",
            f"R{m}",
            {f"m{k}": dict(zip(names, values[k, m].tolist(), strict=True)) for k in range(METRICS)},
            IMAGES,
        )
        for m in range(METHODS)
    )
    to_json(Table("set", 8, IMAGES, 0, columns, rows))


def plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Call scipy.stats, cell by cell and pair by pair."""
    from scipy.stats import bootstrap, wilcoxon

    for metric in values:
        for method in metric:
            bootstrap((method,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=0)
        for one, other in combinations(metric, 2):
            wilcoxon(one, other)


def main(side: str, work: str) -> None:
    """Print the seconds of one side, the import of scipy included."""
    assert work == "statistics"
    values = scores()
    start = time.perf_counter()
    (ours if side == "ours" else plain)(values)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
