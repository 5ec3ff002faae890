"""A request for scores to the evaluation, kept in memory."""

from collections.abc import Callable, Sequence

import pandas as pd

from bench.metrics.scoring.batching import Rows, Wanted
from bench.metrics.scoring.compute import Task


def asked(
    tasks: Sequence[Task],
    cached: pd.DataFrame | None = None,
    keep: Callable[[Rows], None] = lambda rows: None,
) -> Wanted:
    """Return a request for these tasks, with `cached` scores; `keep` also receives the new rows."""
    kept: Rows = []

    def known() -> pd.DataFrame | None:
        noted = [pd.DataFrame(kept)] if kept else []
        tables = [*([] if cached is None else [cached]), *noted]
        return pd.concat(tables, ignore_index=True) if tables else None

    def note(rows: Rows) -> None:
        keep(rows)
        kept.extend(rows)

    return Wanted(lambda: tasks, known, note)
