"""From the store to a table or a strip: every run on a test set is a row or a column."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError
from bench.images import Pixels, read_image
from bench.report.strip import picture_strip
from bench.report.table import Column, Row, Table
from bench.store import Run, list_runs
from bench.testset.manifest import TestSet

NO_GROUND_TRUTH = "The test set has no ground truth to compare with."


class Measured(Protocol):
    """What a table needs to know of a metric; `bench.metrics` has them."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def digits(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def identity(self) -> str: ...
    def unavailable(self) -> str | None: ...


def find_runs(
    testset: TestSet, results: Path, methods: Sequence[str], order: Sequence[str]
) -> list[Run]:
    """The runs on a test set of these methods, or of all; in the order given, others behind.

    Raises:
        BenchError: there are none.
    """
    runs = [
        r for r in list_runs(results, testset.name) if r.spec.testset == testset.manifest.sha256
    ]
    there = {run.spec.method for run in runs}
    absent = [name for name in methods if name not in there]
    if absent or not runs:
        what = f" of {', '.join(absent)}" if absent else ""
        raise BenchError(f"There are no results{what} on {testset.name}: `bench run` first.")
    ranks = {name: rank for rank, name in enumerate(methods or order)}
    wanted = [run for run in runs if not methods or run.spec.method in methods]
    return sorted(wanted, key=lambda run: (ranks.get(run.spec.method, len(ranks)), run.folder.name))


def table_of(testset: TestSet, runs: Sequence[Run], metrics: Sequence[Measured]) -> Table:
    """The table of runs by metrics; scores of another identity than the metric's are left out."""
    missing = {m.name: reason for m in metrics if (reason := m.unavailable())}
    if not testset.ground_truth:
        missing = {m.name: NO_GROUND_TRUTH for m in metrics}
    rows = [
        Row(
            name=run.spec.method,
            title=label,
            scores=_scores(run, [m for m in metrics if m.name not in missing]),
            images_done=len(run.records()),
            missing=missing,
        )
        for run, label in zip(runs, _labels(testset, runs), strict=True)
    ]
    columns = [Column(m.name, m.title, m.higher_is_better, m.digits, m.unit) for m in metrics]
    plan = testset.manifest.plan
    made_up = testset.name == plan.name  # then scale and size are in it, and told anyway
    kind = "" if plan.degradation == "bicubic" else f", {plan.degradation}"
    name = f"{plan.recipe}, {plan.size} px{kind}" if made_up else testset.name
    seed = runs[0].spec.seed  # other seeds are told in the labels
    images = len(testset.manifest.images)
    scale = plan.scale if plan.scale > 1 else None  # blind ones differ from image to image
    return Table(name, scale, images, seed, tuple(columns), tuple(rows))


def strip_of(testset: TestSet, runs: Sequence[Run], faces: int) -> Pixels:
    """The first faces of a test set: LR, every run, GT; a gap where a run lacks the face."""
    images = list(testset.entries)[:faces]
    columns: list[tuple[str, list[Pixels | None]]] = [("LR", [testset.lr(i) for i in images])]
    for run, label in zip(runs, _labels(testset, runs), strict=True):
        done = run.records()
        columns.append((label, [read_image(run.picture(i)) if i in done else None for i in images]))
    if testset.ground_truth:
        columns.append(("GT", [testset.hr(i) for i in images]))
    return picture_strip(columns)


def contact_sheet(testset: TestSet, faces: int, across: int = 4) -> Pixels:
    """The first faces of a test set, `across` in a row: LR, and GT where there is one."""
    images = list(testset.entries)[:faces]
    columns: list[tuple[str, list[Pixels | None]]] = []
    for first in range(min(across, len(images))):
        chosen: list[str | None] = list(images[first::across])
        chosen += [None] * (-(-len(images) // across) - len(chosen))
        columns.append(("LR", [None if i is None else testset.lr(i) for i in chosen]))
        if testset.ground_truth:
            columns.append(("GT", [None if i is None else testset.hr(i) for i in chosen]))
    return picture_strip(columns)


def _labels(testset: TestSet, runs: Sequence[Run]) -> list[str]:
    """`run_labels`, but a run that gave back every input as it was is called Input."""
    inputs = {entry.id: entry.lr_sha256 for entry in testset.manifest.images}
    return [
        "Input" if {r.image: r.sha256 for r in run.records().values()} == inputs else label
        for run, label in zip(runs, run_labels(runs), strict=True)
    ]


def run_labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run: its method's title, and what differs between runs of that method.

    The seed is told if it differs between any runs: methods are to be compared on the same noise.
    """
    seeds = {run.spec.seed for run in runs}
    labels = []
    for run in runs:
        siblings = [_facts(other) for other in runs if other.spec.method == run.spec.method]
        apart = [
            f"{key} {value}"
            for key, value in _facts(run).items()
            if any(_sets_apart(key, value, other) for other in siblings)
            or (key == "seed" and len(seeds) > 1)
        ]
        title = str(run.description["title"])
        labels.append(f"{title} ({', '.join(apart)})" if apart else title)
    return labels


def _facts(run: Run) -> dict[str, Any]:
    """What may set two runs of a method apart."""
    settings = dict(_settings(run.spec.settings))
    weights = {need: digest[:8] for need, digest in run.spec.weights.items()}
    return {**settings, **weights, "seed": run.spec.seed, "revision": run.spec.revision}


def _settings(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of settings; those of a method inside begin with its name and a space."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value.keys() == {"method", "revision", "settings"}:
            name = value["method"]
            yield inside + key, name
            yield f"{name} revision", str(value["revision"])
            yield from _settings(value["settings"], f"{name} ")
        else:
            yield inside + key, json.dumps(value).strip('"')


def _sets_apart(key: str, value: Any, other: Mapping[str, Any]) -> bool:
    """Whether a fact tells a run from another one; of different methods inside, the names do."""
    return other[key] != value if key in other else " " not in key


def _scores(run: Run, metrics: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Metric name -> image id -> value, for pictures that are still what was scored."""
    table = run.scores()
    if table is None:
        return {}
    current = {record.sha256 for record in run.records().values()}
    table = table[table["sr_sha256"].isin(current)]
    scores = {}
    for metric in metrics:
        rows = table[table["identity"] == metric.identity]
        if len(rows):
            scores[metric.name] = dict(zip(rows["image"], rows["value"], strict=True))
    return scores
