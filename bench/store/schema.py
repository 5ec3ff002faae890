"""Schema of a run on disk: specification, image records, and scores.

A run's identity is the hash of exactly those inputs that determine its numbers. All data is
validated when read back, since it may be damaged, foreign, or from another version.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.core.config import Precision
from bench.core.errors import BenchError
from bench.core.files import SEAL, sha256_json
from bench.core.names import invalid_filename_reason
from bench.core.validation import read_back

FORMAT = 1

TEXTS = ("image", "identity", "sr_sha256", "reference_sha256", "note")
"""Required text columns of the score table."""


@dataclass(frozen=True)
class RunSpec:
    """All inputs that determine a run's images.

    `testset` is the manifest's hash. `weights` maps each checkpoint and external program to its
    hash. `revision` is the method's own, which its author raises when its numbers change.
    `precision` is that of the networks.
    """

    method: str
    revision: int
    settings: Mapping[str, Any]
    testset: str
    weights: Mapping[str, str]
    seed: int
    repetition: int = 0
    precision: Precision = "float32"

    @cached_property
    def identity(self) -> str:
        """Return the hexadecimal hash; batch size, device and workers do not affect it."""
        values = asdict(self)
        if self.precision == "float32":  # the only precision of earlier versions
            del values["precision"]
        return sha256_json({"format": FORMAT, **values})


@dataclass(frozen=True)
class Record:
    """Record of one restored image; None where not measured."""

    image: str
    sha256: str
    seconds: float | None
    evaluations: int | None


@dataclass(frozen=True)
class Failure:
    """A failed image and the reason."""

    image: str
    reason: str


def parse_description(value: Any, where: str) -> dict[str, Any]:
    """Parse the contents of a run.json; `where` is the run's folder.

    Raises:
        BenchError: the contents are damaged, or of another format.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BenchError(
            f"{where} was written by another version of bench: remove it and run again."
        )
    if wrong := _wrong_parts(value):
        raise BenchError(
            f"{where}/run.json is damaged, or another version's: {', '.join(wrong)} is "
            "absent or wrong. Remove the folder and run again."
        )
    value.pop(SEAL, None)
    return value


def _wrong_parts(description: Mapping[str, Any]) -> list[str]:
    """Return the names of missing or invalid parts of a run's description."""
    parts = {"title": str, "spec": dict, "provenance": dict}
    parts |= {"outcome": dict, "resumed": list, "variants": dict}
    values = {"outcome": {}, "resumed": [], "variants": {}, **description}
    wrong = [name for name, of in parts.items() if not isinstance(values.get(name), of)]
    if not wrong:
        memory = values["outcome"].get("peak_memory_bytes", 0)
        if not isinstance(memory, int | float) or not 0 <= memory < 2**63:
            wrong = ["peak_memory_bytes"]
    return wrong


def parse_records(rows: Iterable[Any], where: str) -> dict[str, Record]:
    """Parse table rows into image id -> record; `where` is the run's folder.

    Raises:
        BenchError: a row is no record, or its image's name could lead elsewhere.
    """
    records = [read_back(Record, row, f"a record of {where}") for row in rows]
    for record in records:
        if reason := invalid_filename_reason(record.image):
            raise BenchError(
                f"{where} has a record of {record.image!r}, whose name {reason}: do not use it."
            )
    return {record.image: record for record in records}


def parse_scores(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Validate the columns of a table of scores; `where` is its file.

    Raises:
        BenchError: a column is missing or has a wrong type.
    """
    if absent := [name for name in (*TEXTS, "value") if name not in table.columns]:
        reason = f"lacks {', '.join(absent)}"
    elif not is_numeric_dtype(table["value"]) or not all(
        isinstance(text, str) for name in TEXTS for text in table[name]
    ):
        reason = "has values of a wrong type"
    else:
        return table
    raise BenchError(
        f"{where} {reason}, as written by another version: remove it and run `bench evaluate`."
    )
