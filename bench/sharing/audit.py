"""Trace a run's numbers to test set, weights and code.

A table's cell is a mean over a run's per-image scores. The run's own files are checked against
their seals and hashes, and its inputs against the hashes in its description.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.core.files import broken_seals, seal_matches, sha256_file
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import FILE_NAME, differences, read_manifest, unlisted_files


@dataclass(frozen=True)
class Audit:
    """Origins of runs, one line each, and deviations."""

    origins: tuple[str, ...]
    found: tuple[str, ...]


def audit_runs(runs: Sequence[Run], testsets: Path) -> Audit:
    """Trace each run to its test set below `testsets`, weights and code.

    Changes are reported in `found`; inputs that are not on this machine are noted in `origins`.

    Raises:
        BenchError: a description or a manifest can't be read.
    """

    @cache
    def of_testset(folder: Path) -> tuple[str, ...]:
        return tuple(audit_testset(folder))

    origins: list[str] = []
    found: dict[str, None] = {}  # report facts shared by several runs once
    for run in runs:
        found |= dict.fromkeys(differences_of(run))
        if broken_seals(run.folder / "run.json"):
            continue  # its target can't be trusted
        folder = testsets / run.folder.parent.name
        code = code_part(run.spec, run.description["provenance"])
        parts = [_testset_part(run, folder), *_weights_parts(run), code]
        origins.append(f"{run.folder}: {', '.join(parts)}")
        if (folder / FILE_NAME).is_file():
            found |= dict.fromkeys(of_testset(folder))
            if read_manifest(folder).sha256 != run.spec.testset:
                found[f"{folder} is a different test set than that of {run.folder}."] = None
        found |= dict.fromkeys(_changed_weights(run))
    return Audit(tuple(origins), tuple(found))


def differences_of(run: Run) -> list[str]:
    """Return a line per part of a run that has changed: description, images, tables.

    Raises:
        BenchError: a description or a table can't be read.
    """
    names = ("records.parquet", "failures.parquet", "scores.parquet")
    tables = [path for name in names if (path := run.folder / name).exists()]
    lines = broken_seals(run.folder / "run.json", *tables)
    if run.description.get("identity") != run.spec.identity:
        lines.append(f"{run.folder}/run.json does not match its identity.")
    if any(seal_matches(path.read_bytes()) is False for path in tables):
        return lines  # their statements about pictures can't be trusted
    written, there = run.written(), run.records()
    for image in written:
        if image not in there:
            path = run.picture(image)
            lines.append(f"{path} {'has changed' if path.is_file() else 'is missing'}.")
    pictures = (run.folder / "images").rglob("*")
    known = {run.picture(image) for image in written}
    lines += [
        f"{path} is not in the records."
        for path in sorted(pictures)
        if path.is_file() and path not in known
    ]
    scores = run.scores()
    hashes = {record.sha256 for record in written.values()}
    stale = 0 if scores is None else int((~scores["sr_sha256"].isin(hashes)).sum())
    if stale:
        lines.append(f"{run.folder}/scores.parquet has {stale} scores of other images.")
    return lines


def audit_testset(folder: Path) -> list[str]:
    """Return a line per file in a test set's folder that has changed.

    Raises:
        BenchError: the manifest can't be read.
    """
    manifest = read_manifest(folder)
    sealed = broken_seals(folder / FILE_NAME)
    return [*sealed, *differences(folder, manifest), *unlisted_files(folder, manifest)]


def _testset_part(run: Run, folder: Path) -> str:
    here = "" if (folder / FILE_NAME).is_file() else ", not here"
    return f"test set {folder.name} ({run.spec.testset[:12]}{here})"


def _weights_parts(run: Run) -> Iterator[str]:
    files = run.weights_files
    for name, digest in run.spec.weights.items():
        path = files.get(name)
        where = "" if path is None else f" of {path}" if path.is_file() else f" of {path}, not here"
        yield f"{name} ({digest[:12]}{where})"


def _changed_weights(run: Run) -> Iterator[str]:
    for name, path in run.weights_files.items():
        if path.is_file() and sha256_file(path) != run.spec.weights[name]:
            yield f"{path} has changed since {run.folder} used it."


def code_part(spec: RunSpec, facts: Mapping[str, Any]) -> str:
    """Return the code of a run: method revision and commit."""
    commit = facts.get("commit")
    code = "no commit known" if commit is None else f"commit {str(commit)[:12]}"
    changed = " with uncommitted changes" if facts.get("dirty") else ""
    return f"revision {spec.revision} at {code}{changed}"
