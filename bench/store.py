"""Results on disk: one folder per run, with pictures, per-image records and provenance.

    results/<test set>/<method>-<identity>/
        run.json            what was run, on what, with what (written first)
        images/<id>.png     the results
        records.parquet     per image: hash, seconds, network evaluations (written last)
        records.jsonl       the same while the run is under way
        failures.parquet    per image without a result: why (there if there is any)
        failures.jsonl      the same while the run is under way
        scores.parquet      per image and metric: value, with the identities it belongs to; an
                            empty image's is of the whole set
        scores.jsonl        the same while scoring is under way

A run's identity is the hash of what determines its numbers, and nothing else.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.config import Precision
from bench.errors import BenchError
from bench.files import (
    SEAL,
    Journal,
    broken_seals,
    is_sealed,
    read_json,
    sha256,
    sha256_file,
    sha256_json,
    write_bytes,
    write_sealed_json,
)
from bench.images import Pixels, encode_png
from bench.locks import locked
from bench.names import objection
from bench.progress import notice
from bench.tables import read_table, write_table
from bench.typed import read_back

FORMAT = 1

TEXTS = ("image", "identity", "sr_sha256", "reference_sha256", "note")
"""Columns of scores that tables are made of, beside the value."""


@dataclass(frozen=True)
class RunSpec:
    """All that determines a run's pictures.

    `testset` is the manifest's hash, `weights` the hash of each checkpoint in use and of whatever
    else the pictures were made with outside of bench, `revision` the method's own, which its
    author raises when its numbers change. `precision` is what networks computed in.
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
        """Hexadecimal hash; batch size, device and number of workers are not in it."""
        values = asdict(self)
        if self.precision == "float32":  # as every run was before there was a choice
            del values["precision"]
        return sha256_json({"format": FORMAT, **values})


@dataclass(frozen=True)
class Record:
    """What is known of one restored image; None is what nobody measured."""

    image: str
    sha256: str
    seconds: float | None
    evaluations: int | None


@dataclass(frozen=True)
class Failure:
    """An image that a method could not restore, and why, in words."""

    image: str
    reason: str


class Run:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = Journal(folder / "records.jsonl")
        self._failures = Journal(folder / "failures.jsonl")
        self._scores = Journal(folder / "scores.jsonl")

    @classmethod
    def of(cls, results: Path, testset: str, spec: RunSpec) -> "Run":
        """The run of this identity, which may not be there yet."""
        return cls(results / testset / f"{spec.method}-{spec.identity[:12]}")

    @classmethod
    def open(
        cls, results: Path, testset: str, title: str, spec: RunSpec, provenance: Mapping[str, Any]
    ) -> "Run":
        """The run of this identity, for writing: the one that is there, or a new one.

        Raises:
            BenchError: the folder can't be written, or its run.json is damaged or another run's.
        """
        run = cls.of(results, testset, spec)
        if not (run.folder / "run.json").exists():
            description = {
                "format": FORMAT,
                "identity": spec.identity,
                "title": title,
                "spec": asdict(spec),
                "provenance": provenance,
            }
            write_sealed_json(run.folder / "run.json", description)
        if run.spec.identity != spec.identity:
            raise BenchError(
                f"{run.folder}/run.json is not what was run there: remove {run.folder}."
            )
        if run.finished:
            run._journal.remove()  # noqa: SLF001 - a kill between the two leaves both
        return run

    def alone(self) -> AbstractContextManager[None]:
        """Hold the folder against other processes that write pictures; see `bench.locks`.

        Raises:
            BenchError: it can't be written.
        """
        return locked(self.folder, notice)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Contents of run.json.

        Raises:
            BenchError: it is missing, damaged, or of another format.
        """
        path = self.folder / "run.json"
        return parse_description(read_json(path, "a run's description"), str(self.folder))

    @cached_property
    def spec(self) -> RunSpec:
        """What was run."""
        return read_back(RunSpec, self.description.get("spec"), f"{self.folder}/run.json")

    @property
    def origin(self) -> dict[str, Any]:
        """What leads from a table back to the bytes behind it: hashes, and the code's commit."""
        return {
            "run": self.spec.identity,
            "testset": self.spec.testset,
            "weights": dict(self.spec.weights),
            "revision": self.spec.revision,
            "commit": self.description["provenance"].get("commit"),
        }

    def note_resume(self, provenance: Mapping[str, Any]) -> None:
        """Record that the run was taken up again, perhaps by other code or another machine."""
        self._describe({"resumed": [*self.description.get("resumed", []), provenance]})

    @property
    def variants(self) -> dict[str, list[str]]:
        """What tables print behind the method's title -> settings that it stands for."""
        return dict(self.description.get("variants", {}))

    def note_variants(self, variants: Mapping[str, Sequence[str]]) -> None:
        """Record which of its method's named variants the run is."""
        if self.variants != variants:
            self._describe({"variants": variants})

    def _describe(self, changes: Mapping[str, Any]) -> None:
        self.description = {**self.description, **changes}
        write_sealed_json(self.folder / "run.json", self.description)

    def picture(self, image: str) -> Path:
        """Where the result for an image is, or will be."""
        return self.folder / "images" / f"{image}.png"

    def written(self) -> dict[str, Record]:
        """Image id -> record, of every picture that was written, whatever became of it."""
        records = [read_back(Record, row, f"a record of {self.folder}") for row in self._written()]
        for record in records:
            if reason := objection(record.image):
                raise BenchError(
                    f"{self.folder} has a record of {record.image!r}, whose name {reason}: "
                    "don't trust it."
                )
        return {record.image: record for record in records}

    def _written(self) -> list[dict[str, Any]]:
        """The rows of the table of records, or of the journal that becomes one.

        Another process may turn either into the other meanwhile: then it is read again.
        """
        path = self.folder / "records.parquet"
        while True:
            if self.finished:
                with suppress(FileNotFoundError):
                    return read_table(path).to_dict("records")
            elif rows := self._journal.read():
                return rows
            elif not self.finished:
                return []

    def records(self) -> dict[str, Record]:
        """Image id -> record, for every image whose picture is there as it was written."""
        return {
            image: record
            for image, record in self.written().items()
            if (path := self.picture(image)).is_file() and sha256_file(path) == record.sha256
        }

    def differences(self) -> list[str]:
        """A line for whatever is not as it was written: description, pictures, tables."""
        names = ("records.parquet", "failures.parquet", "scores.parquet")
        tables = [path for name in names if (path := self.folder / name).exists()]
        lines = broken_seals(self.folder / "run.json", *tables)
        if self.description.get("identity") != self.spec.identity:
            lines.append(f"{self.folder}/run.json does not describe the run of its identity.")
        if any(is_sealed(path.read_bytes()) is False for path in tables):
            return lines  # what they say of the pictures is not to be relied on
        written, there = self.written(), self.records()
        for image in written:
            if image not in there:
                path = self.picture(image)
                lines.append(f"{path} {'has changed' if path.is_file() else 'is missing'}.")
        pictures = (self.folder / "images").rglob("*")
        known = {self.picture(image) for image in written}
        lines += [
            f"{path} is not in the records."
            for path in sorted(pictures)
            if path.is_file() and path not in known
        ]
        scores = self.scores()
        hashes = {record.sha256 for record in written.values()}
        stale = 0 if scores is None else int((~scores["sr_sha256"].isin(hashes)).sum())
        if stale:
            lines.append(f"{self.folder}/scores.parquet has {stale} scores of other pictures.")
        return lines

    def write(
        self, pictures: Mapping[str, Pixels], seconds: float | None, evaluations: int | None
    ) -> None:
        """Keep a batch of results; `seconds` and `evaluations` are per image."""
        records = []
        for image, pixels in pictures.items():
            png = encode_png(pixels)
            write_bytes(self.picture(image), png)
            records.append(asdict(Record(image, sha256(png), seconds, evaluations)))
        self._journal.append(records)

    def note_failures(self, failed: Mapping[str, str]) -> None:
        """Keep why images could not be restored; the last word on an image counts."""
        if failed:
            self._failures.append([asdict(Failure(i, reason)) for i, reason in failed.items()])

    def failures(self, restored: Container[str]) -> dict[str, str]:
        """Image id -> why it could not be restored, of all that are not among those `restored`."""
        path = self.folder / "failures.parquet"
        later = self._failures.read()  # first: what another process takes from it is in the table
        rows = read_table(path).to_dict("records") if path.exists() else []
        where = f"a failure of {self.folder}"
        noted = [read_back(Failure, row, where) for row in (*rows, *later)]
        return {f.image: f.reason for f in noted if f.image not in restored}

    def finish(self, images: Sequence[str], outcome: Mapping[str, Any]) -> None:
        """Turn the journals into the tables of records and failures, in the test set's order.

        `outcome` is what is known of the run as a whole, such as its peak memory.
        """
        self._describe({"outcome": outcome})
        records = self.records()
        failures = self.failures(records)
        self._write_failures([Failure(i, failures[i]) for i in images if i in failures])
        rows = [asdict(records[image]) for image in images if image in records]
        columns = [field.name for field in fields(Record)]
        write_table(self.folder / "records.parquet", pd.DataFrame(rows, columns=columns))
        self._journal.remove()

    def _write_failures(self, failures: Sequence[Failure]) -> None:
        path = self.folder / "failures.parquet"
        if failures:
            write_table(path, pd.DataFrame([asdict(failure) for failure in failures]))
        else:
            path.unlink(missing_ok=True)
        self._failures.remove()

    @property
    def finished(self) -> bool:
        return (self.folder / "records.parquet").exists()

    def reopen(self) -> None:
        """Go back to the journal: pictures of a finished run were lost or changed, or failed."""
        kept = [asdict(record) for record in self.records().values()]
        self._journal.remove()
        self._journal.append(kept)
        (self.folder / "records.parquet").unlink(missing_ok=True)  # last, lest a kill lose all

    def scores(self) -> pd.DataFrame | None:
        """The table of scores with what was noted since, or None before the first evaluation."""
        path = self.folder / "scores.parquet"
        noted = self._scores.read()  # first: what another process takes from it is in the table
        tables = [read_table(path)] if path.exists() else []
        if noted:
            try:
                tables.append(pd.DataFrame(noted))
            except ValueError as error:  # such as of what is no text in any encoding
                raise BenchError(f"{self._scores.path} is damaged ({error}): remove it.") from None
        if not tables:
            return None
        table = pd.concat(tables, ignore_index=True)
        if absent := [name for name in (*TEXTS, "value") if name not in table.columns]:
            reason = f"lacks {', '.join(absent)}"
        elif not is_numeric_dtype(table["value"]) or not all(
            isinstance(text, str) for name in TEXTS for text in table[name]
        ):
            reason = "has values of a wrong type"
        else:
            # A kill between table and journal leaves scores in both.
            return table.drop_duplicates([*TEXTS, "value"], ignore_index=True)
        raise BenchError(
            f"{path} {reason}, as another version wrote it: remove it and run `bench evaluate`."
        )

    def note_scores(self, rows: list[dict[str, Any]]) -> None:
        """Keep scores while more are being computed."""
        if rows:
            self._scores.append(rows)

    def write_scores(self, scores: pd.DataFrame) -> None:
        """Replace the table of scores, and what was noted."""
        write_table(self.folder / "scores.parquet", scores)
        self._scores.remove()


def set_sha256(files: Iterable[str]) -> str:
    """Hexadecimal hash of a set of files by their hashes, whatever their order."""
    return sha256_json(sorted(files))


def runs_within(folder: Path) -> list[Run]:
    """All runs in a folder of results, at any depth, that of the folder itself included."""
    return [Run(path.parent) for path in sorted(folder.rglob("run.json"))]


def list_runs(results: Path, testset: str) -> list[Run]:
    """All runs on a test set, finished or not, in the order of their folders' names."""
    return [Run(path.parent) for path in sorted((results / testset).glob("*/run.json"))]


def parse_description(value: Any, where: str) -> dict[str, Any]:
    """The contents of a run.json from its JSON; `where` is the run's folder.

    Raises:
        BenchError: it is damaged, or of another format.
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
    """Names of what is not in a run's description as it should be."""
    parts = {"title": str, "spec": dict, "provenance": dict}
    parts |= {"outcome": dict, "resumed": list, "variants": dict}
    values = {"outcome": {}, "resumed": [], "variants": {}, **description}
    wrong = [name for name, of in parts.items() if not isinstance(values.get(name), of)]
    if not wrong:
        memory = values["outcome"].get("peak_memory_bytes", 0)
        if not isinstance(memory, int | float) or not 0 <= memory < 2**63:
            wrong = ["peak_memory_bytes"]
    return wrong
