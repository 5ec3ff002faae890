"""Collect results from the store into tables and strips."""

import math
from collections.abc import Sequence

import pandas as pd

from bench.images import Pixels, read_image
from bench.metrics.base import Measure
from bench.report.strip import picture_strip
from bench.report.tables.contamination import contamination_notes
from bench.report.tables.repetitions import fold
from bench.report.tables.runs import repeated, run_labels
from bench.report.tables.table import Column, Row, Table, grouped
from bench.store.reading import Reading
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
    runs: Sequence[Reading],
    metrics: Sequence[Measure],
    protocol: str = "",
    costs: bool = False,
) -> Table:
    """Return the table of runs by metrics, with repetitions of a run in one row.

    `metrics` are configured for `protocol`; scores of other protocols are ignored. `costs` adds the
    recorded costs of the runs.
    """
    groups = repeated(runs)
    first = [group[0] for group in groups]
    labels = _labels(first, testset)
    between = {m.name for m in metrics if m.reference == "repetitions"}
    rows = [
        fold([_row(run, testset, label, metrics, group) for run in group], between)
        for group, label in zip(groups, labels, strict=True)
    ]
    columns = [
        Column(m.name, m.title, m.higher_is_better, m.digits, m.unit, m.per) for m in metrics
    ]
    if costs:
        columns += COSTS
    plan = testset.manifest.plan
    made_up = testset.name == plan.name  # its parts are shown anyway
    kind = "" if plan.degradation == "bicubic" else f", {plan.degradation}"
    if plan.noise is not None:
        kind += f", noise {plan.noise:g} ({plan.noise_unit})"
    name = f"{plan.recipe}, {plan.size} px{kind}" if made_up else testset.name
    seed = runs[0].spec.seed if runs else 0  # other seeds are in the labels
    images = len(testset.manifest.images)
    scale = plan.scale if plan.scale > 1 else None  # blind ones differ from image to image
    notes = dict.fromkeys(
        note
        for group, row in zip(groups, rows, strict=True)
        for run in group
        for note in _lost(run, row)
    )
    notes |= dict.fromkeys(_reference_notes(metrics))
    notes |= dict.fromkeys(contamination_notes(rows, first, plan.recipe))
    return Table(name, scale, images, seed, tuple(columns), tuple(rows), "", tuple(notes), protocol)


def _reference_notes(metrics: Sequence[Measure]) -> list[str]:
    """Return a sentence per reference set."""
    titles = grouped((m.reference_name, m.title) for m in metrics if m.reference_name)
    return [
        f"{', '.join(compared)}: distance to the reference set {name}, not to originals."
        for name, compared in titles.items()
    ]


def strip_of(testset: TestSet, runs: Sequence[Reading], faces: int) -> Pixels:
    """Draw the first faces of a test set: LR, every run, GT; missing ones stay blank."""
    return picture_strip(picture_columns(testset, runs, list(testset.entries)[:faces]))


def picture_columns(
    testset: TestSet, runs: Sequence[Reading], images: Sequence[str]
) -> list[tuple[str, list[Pixels | None]]]:
    """Return labels and images of LR, every run, and GT; None for missing ones."""
    columns: list[tuple[str, list[Pixels | None]]] = [("LR", [testset.lr(i) for i in images])]
    for run, label in zip(runs, _labels(runs, testset), strict=True):
        done = run.records()
        columns.append((label, [read_image(run.picture(i)) if i in done else None for i in images]))
    if testset.ground_truth:
        columns.append(("GT", [testset.hr(i) for i in images]))
    return columns


def contact_sheet(testset: TestSet, faces: int) -> Pixels:
    """Draw the first faces of a test set, four per row: LR, and GT if present."""
    images = list(testset.entries)[:faces]
    kinds = {"LR": testset.lr, **({"GT": testset.hr} if testset.ground_truth else {})}
    across, rows = 4, -(-len(images) // 4)
    columns: list[tuple[str, list[Pixels | None]]] = []
    for first in range(min(across, len(images))):
        chosen = images[first::across]
        blank = [None] * (rows - len(chosen))
        columns += [(kind, [*map(read, chosen), *blank]) for kind, read in kinds.items()]
    return picture_strip(columns)


def _is_input(run: Reading, testset: TestSet) -> bool:
    """Return True if every result of a run equals its input."""
    inputs = {entry.id: entry.lr_sha256 for entry in testset.manifest.images}
    return {image: record.sha256 for image, record in run.records().items()} == inputs


def _labels(runs: Sequence[Reading], testset: TestSet) -> list[str]:
    """Return `run_labels`, but call a run that returned all inputs unchanged Input."""
    return [
        "Input" if _is_input(run, testset) else label
        for run, label in zip(runs, run_labels(runs), strict=True)
    ]


def _row(
    run: Reading,
    testset: TestSet,
    label: str,
    metrics: Sequence[Measure],
    siblings: Sequence[Reading],
) -> Row:
    """Return the row of a run; `siblings` are its repetitions, itself included."""
    missing = {m.name: reason for m in metrics if (reason := impossible(m, testset))}
    scores: dict[str, dict[str, float]] = {}
    undefined: dict[str, dict[str, str]] = {}
    whole = {"memory": run.memory / 2**30} if run.memory else {}
    complete = len(run.records()) == len(testset.manifest.images)
    errors: dict[str, float] = {}
    for metric in (m for m in metrics if m.name not in missing):
        if metric.parts:
            values = [_mean(part, run, complete) for part in metric.parts]
            if lost := [value for value in values if isinstance(value, str)]:
                missing[metric.name] = lost[0]
            else:
                whole[metric.name] = metric.combined([float(value) for value in values])
        elif metric.per == "image":
            found = _without_exact(_found(metric, run, siblings))
            told = found["note"] != ""
            undefined[metric.name] = dict(
                zip(found["image"][told], found["note"][told], strict=True)
            )
            means = found[~told].groupby("image", sort=False)["value"].mean()
            scores[metric.name] = {str(image): float(value) for image, value in means.items()}
            if metric.reference == "repetitions" and len(siblings) < 2:
                missing[metric.name] = ONE_REPETITION
        elif not complete:
            missing[metric.name] = INCOMPLETE
        else:
            for value, note in run.scores_of(metric.key)[["value", "note"]].itertuples(index=False):
                if math.isnan(value):
                    missing[metric.name] = note
                else:
                    whole[metric.name] = value
            if metric.error:
                for error in run.scores_of(metric.error.key)["value"].dropna():
                    errors[metric.name] = float(error)
    for cost in ("seconds", "evaluations"):
        scores[cost] = {
            image: value
            for image, record in run.records().items()
            if (value := getattr(record, cost)) is not None
        }
    return Row(
        name=run.spec.method,
        title=label,
        scores={name: of for name, of in scores.items() if of},
        images_done=len(run.records()),
        missing=missing,
        whole=whole,
        undefined={name: of for name, of in undefined.items() if of},
        errors=errors,
        origin=run.origin,
    )


def _mean(metric: Measure, run: Reading, complete: bool) -> float | str:
    """Return a run's value of a part of a derived column, or why it has none."""
    if not complete:
        return INCOMPLETE
    found = run.scores_of(metric.key)
    if metric.per == "image":
        found = _without_exact(found)
        found = found[found["note"] == ""]
    values = found["value"].dropna()
    if values.empty:
        notes = [note for note in found["note"] if note]
        return notes[0] if notes else f"Its part {metric.title} is missing: run `bench evaluate`."
    return float(values.mean())


def _lost(run: Reading, row: Row) -> list[str]:
    """Return a sentence per reason why a method failed on images."""
    failures = run.failures(run.records())
    images = grouped((reason.rstrip("."), image) for image, reason in failures.items())
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


def _found(metric: Measure, run: Reading, siblings: Sequence[Reading]) -> pd.DataFrame:
    """Return scores per image; between repetitions, of every pair with both images present."""
    if metric.reference != "repetitions":
        return run.scores_of(metric.key)
    current = [record.sha256 for sibling in siblings for record in sibling.records().values()]
    rows = pd.concat([sibling.scores_of(metric.key) for sibling in siblings])
    return rows[rows["reference_sha256"].isin(current)]
