"""A run to compare, from its folder or an archive."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.sharing.bundle import Bundle
from bench.sharing.export import DESCRIPTION, TABLES, named
from bench.store.reading import current_scores
from bench.store.run import Run
from bench.store.schema import Record, RunSpec
from bench.testsets.manifest import FILE_NAME, Manifest, read_manifest


@dataclass(frozen=True)
class Result:
    """A run read from a folder or an archive.

    Attributes:
        name: name of its folder, which begins with the method's.
        place: the archive or folder that it was read from.
        title: the method's title, with the names of its variants.
        testset: name of the test set there.
        manifest: manifest of its test set, if available.
        records: image id -> record, of all unchanged images.
        table: the scores, or None before the first evaluation.
    """

    name: str
    place: Path
    title: str
    spec: RunSpec
    testset: str
    manifest: Manifest | None
    provenance: Mapping[str, Any]
    memory: float | None
    records: Mapping[str, Record]
    table: pd.DataFrame | None

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Return the scores of these images and of their set."""
        if self.table is not None and "metric" not in self.table.columns:
            raise BenchError(f"{self.place}: scores of {self.name} lack the names of metrics.")
        return current_scores(self.table, self.records)

    def is_called(self, name: str) -> bool:
        """Return True if a name is this run's method, folder, or a prefix of its folder."""
        method = self.spec.method
        return name == method or (name.startswith(f"{method}-") and self.name.startswith(name))


def folder_result(run: Run, testsets: Path) -> Result:
    """Read a run from its folder; the test set is below `testsets` or in the run's workspace.

    Raises:
        BenchError: the run can't be read.
    """
    own = run.folder.resolve().parent.parent.parent / "testsets"
    return _result(run, run.folder, (testsets, own), run.records)


def bundle_results(bundle: Bundle) -> list[Result]:
    """Read the runs of an archive, in order.

    Tables and manifests are unpacked into a temporary folder; images, and files that no export has,
    are not.

    Raises:
        BenchError: a file has changed, or can't be read.
    """
    places = [("testsets", FILE_NAME), *(("results", name) for name in (DESCRIPTION, *TABLES))]
    with TemporaryDirectory() as made:
        root = Path(made)
        try:
            for name in (name for place in places for name in named(bundle, *place)):
                write_bytes(root / name, bundle.read(name))
            runs = [Run((root / name).parent) for name in named(bundle, "results", DESCRIPTION)]
            return [_result(run, bundle.path, (root / "testsets",), run.written) for run in runs]
        except BenchError as error:
            raise BenchError(str(error).replace(made, str(bundle.path))) from None


def _manifest(folder: Path, sha256: str) -> Manifest | None:
    """Return the manifest of a test set if it exists and has this hash."""
    if not (folder / FILE_NAME).is_file():
        return None
    manifest = read_manifest(folder)
    return manifest if manifest.sha256 == sha256 else None


def _result(
    run: Run, place: Path, testsets: Sequence[Path], records: Callable[[], dict[str, Record]]
) -> Result:
    testset = run.folder.resolve().parent.name
    manifests = (_manifest(folder / testset, run.spec.testset) for folder in testsets)
    return Result(
        name=run.folder.name,
        place=place,
        title=run.full_title,
        spec=run.spec,
        testset=testset,
        manifest=next(filter(None, manifests), None),
        provenance=run.description["provenance"],
        memory=run.memory,
        records=records(),
        table=run.scores(),
    )


def choose(results: Sequence[Result], name: str, where: str) -> list[Result]:
    """Return the results that match a name.

    Raises:
        BenchError: no match.
    """
    chosen = [result for result in results if result.is_called(name)]
    if not chosen:
        there = ", ".join(result.name for result in results)
        raise BenchError(f"{where} has no result {name!r}: it holds {there or 'none'}.")
    return chosen


def pairs(
    one: Sequence[Result], other: Sequence[Result]
) -> tuple[list[tuple[Result, Result]], list[Result]]:
    """Pair matching results of both sides; return pairs and unmatched ones.

    A single result on each side is a pair. Otherwise results pair by identity, then by equal
    settings, then by method where each side has one result left.

    Raises:
        BenchError: no pair.
    """
    if len(one) == len(other) == 1:
        return [(one[0], other[0])], []
    found: list[tuple[Result, Result]] = []
    left, right = list(one), list(other)
    for same in (_identity, _settings, _method):
        for a in list(left):
            mine = [x for x in left if same(x) == same(a)]
            theirs = [x for x in right if same(x) == same(a)]
            if len(mine) == len(theirs) == 1:
                found.append((a, theirs[0]))
                left.remove(a)
                right.remove(theirs[0])
    if not found:
        left_names, right_names = (", ".join(r.name for r in side) for side in (one, other))
        raise BenchError(
            f"No runs of the two sides match: name one of {left_names} and one of {right_names}."
        )
    found.sort(key=lambda pair: one.index(pair[0]))
    return found, [*left, *right]


def _identity(result: Result) -> object:
    return result.spec.identity


def _settings(result: Result) -> object:
    """Return the settings of a result that are comparable across versions and machines."""
    return _method(result), result.spec.seed, json.dumps(result.spec.settings, sort_keys=True)


def _method(result: Result) -> object:
    return result.spec.method, result.spec.repetition
