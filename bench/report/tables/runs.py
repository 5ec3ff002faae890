"""Find runs on a test set, order them, and label them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bench.core.errors import BenchError
from bench.report.tables.table import grouped
from bench.store.reading import Reading
from bench.store.run import Run, list_runs
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet

AnyRun = TypeVar("AnyRun", bound=Run)


def runs_on(testset: TestSet, results: Path) -> list[Reading]:
    """Return all runs on a test set, with repetitions adjacent."""
    digest = testset.manifest.sha256
    runs = [Reading(run.folder) for run in list_runs(results, testset.name)]
    return sorted((run for run in runs if run.spec.testset == digest), key=_place)


def repeated(runs: Sequence[Reading]) -> list[list[Reading]]:
    """Group the repetitions of each run, ordered by the first."""
    groups = grouped((replace(run.spec, repetition=0).identity, run) for run in runs)
    return list(groups.values())


def first_repetitions(runs: Sequence[Reading]) -> list[Reading]:
    """Return the first repetition of each run, in order."""
    return [group[0] for group in repeated(runs)]


def _place(run: Run) -> tuple[Any, ...]:
    """Return a sort key: method, plain runs before variants, settings, repetition."""
    first = replace(run.spec, repetition=0)
    order = list(run.variants), _by_size(first.settings), first.identity
    return first.method, *order, run.spec.repetition


def find_runs(
    testset: TestSet, results: Path, methods: Sequence[str], order: Sequence[str]
) -> list[Reading]:
    """Return the runs of these methods (default: all) on a test set, in the given order.

    To select a single run, give its folder name, or a prefix of it, instead of the method.

    Raises:
        BenchError: no such runs.
    """
    runs = runs_on(testset, results)
    absent = [name for name in methods if not runs_called(name, runs)]
    if absent or not runs:
        what = f" of {', '.join(absent)}" if absent else ""
        raise BenchError(f"There are no results{what} on {testset.name}: `bench run` first.")
    groups = [runs_called(name, runs) for name in methods or order]
    if not methods:
        groups.append(runs)
    return list({run.folder: run for group in groups for run in group}.values())


def runs_called(name: str, runs: Sequence[AnyRun]) -> list[AnyRun]:
    """Return the runs of a method or, without any, those whose folder name starts with `name`."""
    of_method = [run for run in runs if run.spec.method == name]
    return of_method or [
        run
        for run in runs
        if name.startswith(f"{run.spec.method}-") and run.folder.name.startswith(name)
    ]


def _by_size(settings: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Return a sort key of settings: numbers by value, before strings."""
    sizes = []
    for name, value in _settings(settings):
        try:
            sizes.append((name, float(value), ""))
        except ValueError:
            sizes.append((name, math.inf, value))
    return sizes


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Label each run by its method's title and the facts in which its runs differ.

    The name of a variant ("w/o CRT") replaces the settings that it stands for. The seed is shown if
    it differs between any runs, since methods should share their noise. A reduced precision is
    always shown.
    """
    seeds = {run.spec.seed for run in runs}
    labels = []
    for run in runs:
        siblings = [
            (facts(other.spec), _named(run) | _named(other))
            for other in runs
            if other.spec.method == run.spec.method
        ]
        apart = [
            f"{key} {value}"
            for key, value in facts(run.spec).items()
            if any(key not in named and _sets_apart(key, value, of) for of, named in siblings)
            or (key == "seed" and len(seeds) > 1)
            or (key == "precision" and value != "float32")
        ]
        title = run.full_title
        labels.append(f"{title} ({', '.join(apart)})" if apart else title)
    return labels


def _named(run: Run) -> set[str]:
    """Return the settings that a run's variants stand for."""
    return {setting for settings in run.variants.values() for setting in settings}


def facts(spec: RunSpec) -> dict[str, Any]:
    """Return all facts that may distinguish two runs of a method."""
    settings = dict(_settings(spec.settings))
    weights = {need: digest[:8] for need, digest in spec.weights.items()}
    numbers = {"seed": spec.seed, "revision": spec.revision, "repetition": spec.repetition}
    return {**settings, **weights, **numbers, "precision": spec.precision}


def _settings(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    """Return names and values of settings; inner settings are prefixed by their method's name."""
    for key, value in settings.items():
        if (
            isinstance(value, Mapping)
            and value.keys() == {"method", "revision", "settings"}
            and isinstance(value["settings"], Mapping)
        ):
            name = str(value["method"])
            yield inside + key, name
            yield f"{name} revision", str(value["revision"])
            yield from _settings(value["settings"], f"{name} ")
        else:
            text = json.dumps(value)
            shown = text.removesuffix(".0") if isinstance(value, float) else text.strip('"')
            yield inside + key, shown


def _sets_apart(key: str, value: Any, other: Mapping[str, Any]) -> bool:
    """Return True if a fact distinguishes two runs; different inner methods differ by name."""
    return other[key] != value if key in other else " " not in key
