"""Results that were edited, truncated or written by another version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.files import write_bytes, write_json
from bench.core.tables import read_table, write_table
from tests.bad_input.case import Arrange, Refused, run_folder


def written(name: str, data: bytes) -> Arrange:
    return lambda home: write_bytes(run_folder(home) / name, data)


def described(change: Callable[[dict[str, Any]], object]) -> Arrange:
    """Change the values of run.json."""

    def make(home: Path) -> None:
        file = run_folder(home) / "run.json"
        value = json.loads(file.read_bytes())
        change(value)
        write_json(file, value)

    return make


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Arrange:
    def make(home: Path) -> None:
        file = run_folder(home) / name
        write_table(file, change(read_table(file)))

    return make


def bomb(home: Path) -> None:
    """Write one long note in a million rows, without materialising them."""
    notes = pa.DictionaryArray.from_arrays(pa.array(bytes(2**20), pa.uint8()), ["x" * 1000])
    pq.write_table(pa.table({"note": notes}), run_folder(home) / SCORES, store_schema=False)


def refused(make: Arrange, *says: str, command: str = "report") -> Refused:
    return Refused(command, says, make)


def without(name: str) -> Arrange:
    return described(lambda value: value.pop(name))


RUN = "run.json"
RECORDS, SCORES = "records.parquet", "scores.parquet"
OTHER = ("was written by another version of bench", "remove it and run again")
DAMAGED = ("is damaged",)
AGAIN = ("is damaged", "remove it and run again")

REFUSED = {
    "an empty run.json": refused(written(RUN, b""), RUN, *DAMAGED),
    "half a run.json": refused(written(RUN, b'{"format": 1, '), RUN, *DAMAGED),
    "run.json is a list": refused(written(RUN, b"[]"), *OTHER),
    "run.json without end": refused(written(RUN, b"[" * 100_000), RUN, *DAMAGED),
    "run.json of another version": refused(described(lambda value: value.update(format=2)), *OTHER),
    "run.json without its spec": refused(without("spec"), RUN, *DAMAGED),
    "run.json without its title": refused(without("title"), RUN, *DAMAGED),
    "run.json without provenance": refused(without("provenance"), RUN, *DAMAGED, command="methods"),
    "run.json with a setting more": refused(
        described(lambda value: value["spec"].update(steps=3)), RUN, *DAMAGED, "has no 'steps'"
    ),
    "run.json whose outcome is no table": refused(
        described(lambda value: value.update(outcome=3)), RUN, *DAMAGED, command="report --costs"
    ),
    "run.json whose memory is not a number": refused(
        described(lambda value: value.update(outcome={"peak_memory_bytes": "much"})),
        RUN,
        *DAMAGED,
        command="report --costs",
    ),
    "run.json of another run": refused(
        described(lambda value: value["spec"].update(seed=5)),
        "run.json does not match the run in its folder",
        "remove",
        command="run",
    ),
    "records that are torn": refused(written(RECORDS, b"PAR1" + bytes(50)), RECORDS, *AGAIN),
    "records that are a web page": refused(written(RECORDS, b"<html>"), RECORDS, *AGAIN),
    "records without a column": refused(
        table(RECORDS, lambda rows: rows.drop(columns="sha256")), "a record of", *DAMAGED
    ),
    "records of a wrong type": refused(
        table(RECORDS, lambda rows: rows.assign(seconds="long")), "a record of", *DAMAGED
    ),
    "a record with a way out": refused(
        table(RECORDS, lambda rows: rows.assign(image="../../../photos/face-0")),
        "'../../../photos/face-0'",
        "do not use it",
    ),
    "a record from the root": refused(
        table(RECORDS, lambda rows: rows.assign(image="/etc/passwd")), "'/etc/passwd'", "do not use"
    ),
    "a record with NUL": refused(
        table(RECORDS, lambda rows: rows.assign(image="a\0b")), "'a\\x00b'", "do not use"
    ),
    "scores that are torn": refused(written(SCORES, b"PAR1" + bytes(50)), SCORES, *AGAIN),
    "scores that are a bomb": refused(
        bomb,
        SCORES,
        "would decode to more than 100 times its size",
        "do not use it",
    ),
    "scores of another version": refused(
        table(SCORES, lambda rows: rows.drop(columns="note")),
        "scores.parquet lacks note",
        "remove it and run `bench evaluate`",
    ),
    "scores without an identity": refused(
        table(SCORES, lambda rows: rows.drop(columns="identity")),
        "scores.parquet lacks identity",
        "remove it and run `bench evaluate`",
    ),
    "scores that are no numbers": refused(
        table(SCORES, lambda rows: rows.assign(value="good")), SCORES, "`bench evaluate`"
    ),
    "scores to come that are no JSON": refused(
        written("scores.jsonl", b"{\n"), "scores.jsonl", *DAMAGED, "remove it"
    ),
    "scores to come that are a list": refused(
        written("scores.jsonl", b"[]\n"), "scores.jsonl", *DAMAGED, "remove it"
    ),
    "verify: a picture that was replaced": refused(
        written("images/face-0.png", b"x"),
        "1 files",
        "have changed or are missing",
        command="verify results",
    ),
    "verify: a picture more": refused(
        written("images/odd.png", b"x"), "1 files", command="verify results"
    ),
}
