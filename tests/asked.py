"""A table that is asked for of the evaluation, kept in memory."""

from collections.abc import Callable, Sequence

import pandas as pd

from bench.metrics.chunk import Task
from bench.metrics.evaluate import Rows, Wanted


def asked(
    tasks: Sequence[Task],
    cached: pd.DataFrame | None = None,
    keep: Callable[[Rows], None] = lambda rows: None,
) -> Wanted:
    """What these tasks give, `cached` being known before; `keep` is given the rows too."""
    kept: Rows = []

    def known() -> pd.DataFrame | None:
        noted = [pd.DataFrame(kept)] if kept else []
        tables = [*([] if cached is None else [cached]), *noted]
        return pd.concat(tables, ignore_index=True) if tables else None

    def note(rows: Rows) -> None:
        keep(rows)
        kept.extend(rows)

    return Wanted(lambda: tasks, known, note)
