"""Folder of a run: images, per-image records, scores and provenance.

    results/<test set>/<method>-<identity>/
        run.json            what was run, on what, with what (written first)
        images/<id>.png     the results
        records.parquet     per image: hash, seconds, NFE (written last)
        records.jsonl       the same while the run is under way
        failures.parquet    reason per image without a result (only if there are failures)
        failures.jsonl      the same while the run is under way
        scores.parquet      value per image and metric, with the metric's identity and file
                            hashes; the image is empty for values of the whole set
        scores.jsonl        the same while scoring is under way

`bench.store.schema` defines rows and keys.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import (
    Journal,
    read_json,
    sha256,
    sha256_file,
    sha256_json,
    write_bytes,
    write_sealed_json,
)
from bench.core.locks import locked
from bench.core.progress import notice
from bench.core.tables import read_table, write_table
from bench.core.validation import read_back
from bench.images import Pixels, encode_png
from bench.store.schema import (
    FORMAT,
    TEXTS,
    Failure,
    Record,
    RunSpec,
    parse_description,
    parse_records,
    parse_scores,
)


class Run:
    """Folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = Journal(folder / "records.jsonl")
        self._failures = Journal(folder / "failures.jsonl")
        self._scores = Journal(folder / "scores.jsonl")

    @classmethod
    def of(cls, results: Path, testset: str, spec: RunSpec) -> "Run":
        """Return the run with this identity, which may not exist yet."""
        return cls(results / testset / f"{spec.method}-{spec.identity[:12]}")

    @classmethod
    def open(
        cls, results: Path, testset: str, title: str, spec: RunSpec, provenance: Mapping[str, Any]
    ) -> "Run":
        """Open the run with this identity for writing, creating it if needed.

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
                f"{run.folder}/run.json does not match the run in its folder: remove {run.folder}."
            )
        if run.finished:
            run._journal.remove()  # noqa: SLF001 - a kill between the two leaves both
        return run

    def exclusive(self) -> AbstractContextManager[None]:
        """Lock the folder against other writers; see `bench.core.locks`.

        Raises:
            BenchError: the folder can't be written.
        """
        return locked(self.folder, notice)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Return the contents of run.json.

        Raises:
            BenchError: run.json is missing, damaged, or of another format.
        """
        path = self.folder / "run.json"
        return parse_description(read_json(path, "a run's description"), str(self.folder))

    @cached_property
    def spec(self) -> RunSpec:
        """Return the specification of the run."""
        return read_back(RunSpec, self.description.get("spec"), f"{self.folder}/run.json")

    @property
    def title(self) -> str:
        """Return the method's title."""
        return str(self.description["title"])

    @property
    def full_title(self) -> str:
        """Return the method's title with the names of its variants, such as "DPI w/o CRT"."""
        return " ".join(filter(None, [self.title, ", ".join(self.variants)]))

    @property
    def weights_files(self) -> dict[str, Path]:
        """Return the checkpoint files recorded when the run began, by kind."""
        files = self.description["provenance"].get("weights", {})
        return {kind: Path(path) for kind, path in files.items() if kind in self.spec.weights}

    @property
    def memory(self) -> float | None:
        """Return the peak memory in bytes, None if unknown."""
        peak: float | None = self.description.get("outcome", {}).get("peak_memory_bytes")
        return peak

    @property
    def origin(self) -> dict[str, Any]:
        """Return the origin of a table row: input hashes and code commit."""
        return {
            "run": self.spec.identity,
            "testset": self.spec.testset,
            "weights": dict(self.spec.weights),
            "revision": self.spec.revision,
            "commit": self.description["provenance"].get("commit"),
        }

    def note_resume(self, provenance: Mapping[str, Any]) -> None:
        """Record that the run was resumed, with its current provenance."""
        self._describe({"resumed": [*self.description.get("resumed", []), provenance]})

    @property
    def variants(self) -> dict[str, list[str]]:
        """Return variant label -> settings."""
        return dict(self.description.get("variants", {}))

    def note_variants(self, variants: Mapping[str, Sequence[str]]) -> None:
        """Record which named variants the run matches."""
        if self.variants != variants:
            self._describe({"variants": variants})

    def note_scored_on(self, devices: Sequence[str]) -> None:
        """Record the GPUs that scores were computed on, as part of the provenance."""
        noted = list(self.description.get("scored_on", []))
        if new := [device for device in devices if device not in noted]:
            self._describe({"scored_on": [*noted, *new]})

    def _describe(self, changes: Mapping[str, Any]) -> None:
        self.description = {**self.description, **changes}
        write_sealed_json(self.folder / "run.json", self.description)

    def picture(self, image: str) -> Path:
        """Return the path of the result for an image, which may not exist."""
        return self.folder / "images" / f"{image}.png"

    def written(self) -> dict[str, Record]:
        """Return image id -> record of every image ever written."""
        return parse_records(self._written(), str(self.folder))

    def _written(self) -> list[dict[str, Any]]:
        """Return the rows of the records' table, or of its journal.

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
        """Return image id -> record of every intact image."""
        return {
            image: record
            for image, record in self.written().items()
            if (path := self.picture(image)).is_file() and sha256_file(path) == record.sha256
        }

    def write(
        self, pictures: Mapping[str, Pixels], seconds: float | None, evaluations: int | None
    ) -> None:
        """Write a batch of results; `seconds` and `evaluations` are per image."""
        records = []
        for image, pixels in pictures.items():
            png = encode_png(pixels)
            write_bytes(self.picture(image), png)
            records.append(asdict(Record(image, sha256(png), seconds, evaluations)))
        self._journal.append(records)

    def note_failures(self, failed: Mapping[str, str]) -> None:
        """Record why images failed; the last reason per image counts."""
        if failed:
            self._failures.append([asdict(Failure(i, reason)) for i, reason in failed.items()])

    def failures(self, restored: Container[str]) -> dict[str, str]:
        """Return image id -> failure reason of images that are not in `restored`."""
        path = self.folder / "failures.parquet"
        later = self._failures.read()  # first: rows moved meanwhile are in the table
        rows = read_table(path).to_dict("records") if path.exists() else []
        where = f"a failure of {self.folder}"
        noted = [read_back(Failure, row, where) for row in (*rows, *later)]
        return {f.image: f.reason for f in noted if f.image not in restored}

    def finish(self, images: Sequence[str], outcome: Mapping[str, Any]) -> None:
        """Convert the journals into tables, in test set order.

        `outcome` has facts of the whole run, such as its peak memory.
        """
        self._describe({"outcome": outcome})
        records = self.records()
        failures = self.failures(records)
        failed = [asdict(Failure(i, failures[i])) for i in images if i in failures]
        path = self.folder / "failures.parquet"
        if failed:
            write_table(path, pd.DataFrame(failed))
        else:
            path.unlink(missing_ok=True)
        self._failures.remove()
        rows = [asdict(records[image]) for image in images if image in records]
        columns = [field.name for field in fields(Record)]
        write_table(self.folder / "records.parquet", pd.DataFrame(rows, columns=columns))
        self._journal.remove()

    @property
    def finished(self) -> bool:
        return (self.folder / "records.parquet").exists()

    def reopen(self) -> None:
        """Convert the tables back to journals to redo lost, changed or failed images."""
        kept = [asdict(record) for record in self.records().values()]
        self._journal.remove()
        self._journal.append(kept)
        (self.folder / "records.parquet").unlink(missing_ok=True)  # last: a kill loses nothing

    def scores(self) -> pd.DataFrame | None:
        """Return the scores including noted ones; None before the first evaluation."""
        path = self.folder / "scores.parquet"
        noted = self._scores.read()  # first: rows moved meanwhile are in the table
        tables = [read_table(path)] if path.exists() else []
        if noted:
            try:
                tables.append(pd.DataFrame(noted))
            except ValueError as error:  # such as text in no encoding
                raise BenchError(f"{self._scores.path} is damaged ({error}): remove it.") from None
        if not tables:
            return None
        table = parse_scores(pd.concat(tables, ignore_index=True), str(path))
        # A kill between table and journal leaves scores in both.
        return table.drop_duplicates([*TEXTS, "value"], ignore_index=True)

    def note_scores(self, rows: list[dict[str, Any]]) -> None:
        """Append scores to the journal."""
        if rows:
            self._scores.append(rows)

    def write_scores(self, scores: pd.DataFrame) -> None:
        """Replace the table and the journal of scores."""
        write_table(self.folder / "scores.parquet", scores)
        self._scores.remove()


def set_sha256(files: Iterable[str]) -> str:
    """Return the SHA-256 of a set of hashes in hexadecimal, whatever their order."""
    return sha256_json(sorted(files))


def runs_within(folder: Path) -> list[Run]:
    """Return all runs in a results folder, at any depth."""
    return [Run(path.parent) for path in sorted(folder.rglob("run.json"))]


def list_runs(results: Path, testset: str) -> list[Run]:
    """Return all runs on a test set, finished or not, by folder name."""
    return [Run(path.parent) for path in sorted((results / testset).glob("*/run.json"))]
