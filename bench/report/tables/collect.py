"""Collect results from the store into tables and strips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.images import Pixels, read_image
from bench.metrics.base import Measure
from bench.report.strip import picture_strip
from bench.report.tables.contamination import contamination_notes
from bench.report.tables.repetitions import fold
from bench.report.tables.runs import repeated, run_labels
from bench.report.tables.table import Column, Row, Table
from bench.store.run import Run, set_sha256
from bench.store.schema import Record
from bench.testsets.manifest import TestSet

NO_GROUND_TRUTH = "The test set has no ground truth to compare with."

COSTS = (
    Column("seconds", "Time", higher_is_better=False, digits=2, unit="s/image"),
    Column("evaluations", "NFE", higher_is_better=False, digits=0),
    Column("memory", "Memory", higher_is_better=False, digits=2, unit="GiB", per="run"),
)
"""Recorded costs of runs: seconds and NFE per image, and peak memory."""

EXACT = "infinite, since the result equals its reference,"
"""Reason why an image is excluded from mean PSNR."""

INCOMPLETE = "It needs the whole test set, which is incomplete: run `bench run`."
ONE_REPETITION = "It compares repetitions, but there is one: run `bench run --repeat 2`."


def impossible(metric: Measure, testset: TestSet) -> str | None:
    """Return why a metric cannot be computed on a test set; None if it can."""
    if metric.reference == "hr" and not testset.ground_truth:
        return NO_GROUND_TRUTH
    lacking = (reason for part in metric.parts if (reason := impossible(part, testset)))
    return metric.unavailable() or next(lacking, None)


def table_of(
    testset: TestSet,
    runs: Sequence[Run],
    metrics: Sequence[Measure],
    protocol: str = "",
    costs: bool = False,
) -> Table:
    """Return the table of runs by metrics, with repetitions of a run in one row.

    `metrics` are as `protocol` measures them, and scores by others are left out; `costs` adds what
    runs say of themselves.
    """
    groups = [[_Results(run, testset) for run in group] for group in repeated(runs)]
    labels = _labels([results[0] for results in groups])
    between = {m.name for m in metrics if m.reference == "repetitions"}
    rows = [
        fold([_row(result, label, metrics, results) for result in results], between)
        for results, label in zip(groups, labels, strict=True)
    ]
    columns = [
        Column(m.name, m.title, m.higher_is_better, m.digits, m.unit, m.per) for m in metrics
    ]
    if costs:
        columns += COSTS
    plan = testset.manifest.plan
    made_up = testset.name == plan.name  # then scale and size are in it, and told anyway
    kind = "" if plan.degradation == "bicubic" else f", {plan.degradation}"
    if plan.noise is not None:
        kind += f", noise {plan.noise:g} ({plan.noise_unit})"
    name = f"{plan.recipe}, {plan.size} px{kind}" if made_up else testset.name
    seed = runs[0].spec.seed if runs else 0  # other seeds are told in the labels
    images = len(testset.manifest.images)
    scale = plan.scale if plan.scale > 1 else None  # blind ones differ from image to image
    notes = dict.fromkeys(
        note
        for results, row in zip(groups, rows, strict=True)
        for result in results
        for note in _lost(result, row)
    )
    notes |= dict.fromkeys(_reference_notes(metrics))
    first = [group[0].run for group in groups]
    notes |= dict.fromkeys(contamination_notes(rows, first, plan.recipe))
    return Table(name, scale, images, seed, tuple(columns), tuple(rows), "", tuple(notes), protocol)


def _reference_notes(metrics: Sequence[Measure]) -> list[str]:
    """Return a sentence per reference set."""
    titles: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.reference_name:
            titles.setdefault(metric.reference_name, []).append(metric.title)
    return [
        f"{', '.join(compared)}: distance to the reference set {name}, not to originals."
        for name, compared in titles.items()
    ]


def strip_of(testset: TestSet, runs: Sequence[Run], faces: int) -> Pixels:
    """Draw the first faces of a test set: LR, every run, GT; missing ones stay blank."""
    return picture_strip(picture_columns(testset, runs, list(testset.entries)[:faces]))


def picture_columns(
    testset: TestSet, runs: Sequence[Run], images: Sequence[str]
) -> list[tuple[str, list[Pixels | None]]]:
    """Return labels and images of LR, every run, and GT; None for missing ones."""
    columns: list[tuple[str, list[Pixels | None]]] = [("LR", [testset.lr(i) for i in images])]
    results = [_Results(run, testset) for run in runs]
    for result, label in zip(results, _labels(results), strict=True):
        picture = result.run.picture
        done = result.records
        columns.append((label, [read_image(picture(i)) if i in done else None for i in images]))
    if testset.ground_truth:
        columns.append(("GT", [testset.hr(i) for i in images]))
    return columns


def contact_sheet(testset: TestSet, faces: int, across: int = 4) -> Pixels:
    """Draw the first faces of a test set, `across` per row: LR, and GT if present."""
    images = list(testset.entries)[:faces]
    columns: list[tuple[str, list[Pixels | None]]] = []
    for first in range(min(across, len(images))):
        chosen: list[str | None] = list(images[first::across])
        chosen += [None] * (-(-len(images) // across) - len(chosen))
        columns.append(("LR", [None if i is None else testset.lr(i) for i in chosen]))
        if testset.ground_truth:
            columns.append(("GT", [None if i is None else testset.hr(i) for i in chosen]))
    return picture_strip(columns)


@dataclass(frozen=True)
class _Results:
    """Results of a run, cached."""

    run: Run
    testset: TestSet

    @cached_property
    def records(self) -> dict[str, Record]:
        return self.run.records()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores whose images are unchanged since scoring."""
        table = self.run.scores()
        if table is None:
            return pd.DataFrame(columns=["image", "identity", "value", "note", "reference_sha256"])
        files = [record.sha256 for record in self.records.values()]
        return table[table["sr_sha256"].isin([*files, set_sha256(files)])]

    @property
    def is_input(self) -> bool:
        """Return True if every result equals its input."""
        inputs = {entry.id: entry.lr_sha256 for entry in self.testset.manifest.images}
        return {image: record.sha256 for image, record in self.records.items()} == inputs

    @property
    def whole(self) -> bool:
        return len(self.records) == len(self.testset.manifest.images)

    def of(self, metric: Measure) -> pd.DataFrame:
        """Return the scores of a metric."""
        return self.scores[self.scores["identity"] == metric.key]


def _labels(results: Sequence[_Results]) -> list[str]:
    """Return `run_labels`, but call a run that returned all inputs unchanged Input."""
    labels = run_labels([result.run for result in results])
    return [
        "Input" if result.is_input else label for result, label in zip(results, labels, strict=True)
    ]


def _row(
    result: _Results, label: str, metrics: Sequence[Measure], siblings: Sequence[_Results]
) -> Row:
    """Return the row of a run; `siblings` are its repetitions, itself included."""
    missing = {m.name: reason for m in metrics if (reason := impossible(m, result.testset))}
    scores: dict[str, dict[str, float]] = {}
    undefined: dict[str, dict[str, str]] = {}
    memory = result.run.description.get("outcome", {}).get("peak_memory_bytes")
    whole = {"memory": memory / 2**30} if memory else {}
    errors: dict[str, float] = {}
    for metric in (m for m in metrics if m.name not in missing):
        if metric.parts:
            values = [_mean(part, result) for part in metric.parts]
            if lost := [value for value in values if isinstance(value, str)]:
                missing[metric.name] = lost[0]
            else:
                whole[metric.name] = metric.combined([float(value) for value in values])
        elif metric.per == "image":
            found = _without_exact(_found(metric, result, siblings))
            told = found["note"] != ""
            undefined[metric.name] = dict(
                zip(found["image"][told], found["note"][told], strict=True)
            )
            means = found[~told].groupby("image", sort=False)["value"].mean()
            scores[metric.name] = {str(image): float(value) for image, value in means.items()}
            if metric.reference == "repetitions" and len(siblings) < 2:
                missing[metric.name] = ONE_REPETITION
        elif not result.whole:
            missing[metric.name] = INCOMPLETE
        else:
            for value, note in result.of(metric)[["value", "note"]].itertuples(index=False):
                if math.isnan(value):
                    missing[metric.name] = note
                else:
                    whole[metric.name] = value
            if metric.error:
                for error in result.of(metric.error)["value"].dropna():
                    errors[metric.name] = float(error)
    for cost in ("seconds", "evaluations"):
        scores[cost] = {
            image: value
            for image, record in result.records.items()
            if (value := getattr(record, cost)) is not None
        }
    return Row(
        name=result.run.spec.method,
        title=label,
        scores={name: of for name, of in scores.items() if of},
        images_done=len(result.records),
        missing=missing,
        whole=whole,
        undefined={name: of for name, of in undefined.items() if of},
        errors=errors,
        origin=result.run.origin,
    )


def _mean(metric: Measure, result: _Results) -> float | str:
    """Return a run's value of a derived column, or why it has none."""
    if not result.whole:
        return INCOMPLETE
    found = result.of(metric)
    if metric.per == "image":
        found = _without_exact(found)
        found = found[found["note"] == ""]
    values = found["value"].dropna()
    if values.empty:
        notes = [note for note in found["note"] if note]
        return notes[0] if notes else f"Its part {metric.title} is missing: run `bench evaluate`."
    return float(values.mean())


def _lost(result: _Results, row: Row) -> list[str]:
    """Return a sentence per reason why a method failed on images."""
    images: dict[str, list[str]] = {}
    for image, reason in result.run.failures(result.records).items():
        images.setdefault(reason.rstrip("."), []).append(image)
    return [
        f"{row.title} failed on {len(names)} of the images, such as {names[0]}: {reason}."
        for reason, names in images.items()
    ]


def _without_exact(found: pd.DataFrame) -> pd.DataFrame:
    """Exclude infinite values from means with a note, unless all are infinite."""
    infinite = found["value"].abs() == math.inf
    if infinite.all():
        return found
    return found.assign(
        note=found["note"].mask(infinite, EXACT), value=found["value"].mask(infinite, math.nan)
    )


def _found(metric: Measure, result: _Results, siblings: Sequence[_Results]) -> pd.DataFrame:
    """Return scores per image; between repetitions, of every pair with both images present."""
    if metric.reference != "repetitions":
        return result.of(metric)
    current = [record.sha256 for sibling in siblings for record in sibling.records.values()]
    rows = pd.concat([sibling.of(metric) for sibling in siblings])
    return rows[rows["reference_sha256"].isin(current)]
