"""A run, read back."""

from collections.abc import Mapping
from functools import cached_property

import pandas as pd

from bench.store.run import Run, set_sha256
from bench.store.schema import Record


class Reading(Run):
    """A run as reports read it: images hashed and tables read once."""

    @cached_property
    def _records(self) -> dict[str, Record]:
        return super().records()

    @cached_property
    def _table(self) -> pd.DataFrame | None:
        return super().scores()

    def records(self) -> dict[str, Record]:
        return self._records

    def scores(self) -> pd.DataFrame | None:
        return self._table

    @cached_property
    def current_scores(self) -> pd.DataFrame:
        """Scores whose images are unchanged since scoring."""
        return current_scores(self._table, self._records)

    def scores_of(self, identity: str) -> pd.DataFrame:
        """Return the scores of a metric by its identity."""
        return self.current_scores[self.current_scores["identity"] == identity]


def current_scores(table: pd.DataFrame | None, records: Mapping[str, Record]) -> pd.DataFrame:
    """Return the scores of these images and of their set; none if nothing was scored."""
    if table is None:
        columns = ["image", "metric", "identity", "value", "note", "reference_sha256"]
        return pd.DataFrame(columns=columns)
    files = [record.sha256 for record in records.values()]
    return table[table["sr_sha256"].isin([*files, set_sha256(files)])]
