"""Compare two results: configuration differences and paired score differences. Pure.

Scores are paired per image; a difference is the second result's value minus the first's.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from bench.core.errors import BenchError
from bench.metrics.base import Measure
from bench.report.statistics import Paired, holm, paired
from bench.report.tables.collect import COSTS
from bench.report.tables.runs import facts
from bench.report.tables.table import Column, mean
from bench.sharing.results import Result
from bench.testsets.manifest import Manifest

Value = TypeVar("Value")
Pair = tuple[Value, Value]
"""Values of the first and of the second result."""


@dataclass(frozen=True)
class Difference:
    """A differing fact; None where a side does not record it.

    `identity` is True if the fact is part of the run's identity, so that images are expected to
    differ, and False if it is only recorded.
    """

    name: str
    one: str | None
    other: str | None
    identity: bool


@dataclass(frozen=True)
class Measurement:
    """Two results compared by one metric.

    Attributes:
        one: the first one's mean over the images, or the one value of the whole set or run.
        images: image -> the values of both; empty where the metric has one value for all.
        change: paired difference and its statistics, over finite values.
        left_out: images with an infinite value, excluded from the mean.
        p_value: p-value of the difference, corrected by Holm for all compared metrics.
        identities: the metric's identity on either side; different ones are not comparable.
    """

    column: Column
    one: float
    other: float
    images: Mapping[str, Pair[float]] = field(default_factory=dict)
    change: Paired | None = None
    left_out: int = 0
    p_value: float | None = None
    identities: Pair[str] = ("", "")

    @property
    def alike(self) -> bool:
        """Return True if both were measured the same way."""
        return self.identities[0] == self.identities[1]

    @property
    def difference(self) -> float:
        """Return the second minus the first: the mean over the images, or of the two values."""
        return self.change.difference if self.change else difference((self.one, self.other))

    @property
    def better(self) -> int:
        """Return the number of images on which the second is better."""
        sign = 1 if self.column.higher_is_better else -1
        return sum(sign * other > sign * one for one, other in self.images.values())

    @property
    def equal(self) -> int:
        return sum(one == other for one, other in self.images.values())

    @property
    def worse(self) -> int:
        return len(self.images) - self.better - self.equal

    def largest(self, count: int) -> list[tuple[str, float]]:
        """Return the images that differ most, with their differences."""
        found = [(image, difference(pair)) for image, pair in self.images.items()]
        found = [(image, value) for image, value in found if value]
        return sorted(found, key=lambda item: (-abs(item[1]), item[0]))[:count]


@dataclass(frozen=True)
class Comparison:
    """Comparison of two results.

    `images` are the compared pairs of ids, `whole` is True if they are a whole test set, and
    `identical` counts the pairs whose files are equal byte for byte.
    """

    one: Result
    other: Result
    images: Mapping[str, str]
    whole: bool
    identical: int
    differences: tuple[Difference, ...]
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()


def compare(one: Result, other: Result, metrics: Sequence[Measure]) -> Comparison:
    """Compare two results by all of these metrics that both have.

    Raises:
        BenchError: no image in common.
    """
    images = _common(one, other)
    whole = one.spec.testset == other.spec.testset
    measurements = [
        made
        for metric in metrics
        if metric.reference != "repetitions" and (made := _measure(metric, one, other, images))
    ]
    p_values = [made.change.p_value if made.change else None for made in measurements]
    corrected = iter(holm([p for p in p_values if p is not None]))
    measurements = [
        made if p is None else replace(made, p_value=next(corrected))
        for made, p in zip(measurements, p_values, strict=True)
    ]
    identical = sum(
        one.records[mine].sha256 == other.records[theirs].sha256 for mine, theirs in images.items()
    )
    differences = tuple(_differences(one, other))
    scored = Comparison(one, other, images, whole, identical, differences, tuple(measurements))
    costs = filter(None, (_cost(column, one, other, images) for column in COSTS))
    return replace(scored, measurements=(*measurements, *costs), notes=tuple(_notes(scored)))


def difference(pair: Pair[float]) -> float:
    """Return the second value minus the first; 0 for equal ones, infinite ones included."""
    return 0.0 if pair[0] == pair[1] else pair[1] - pair[0]


def _common(one: Result, other: Result) -> dict[str, str]:
    """Map images of the first to those of the second with the same HR and LR files.

    Raises:
        BenchError: no such images.
    """
    if one.spec.testset == other.spec.testset:
        images = {image: image for image in one.records if image in other.records}
        why = "have no image in common"
    elif one.manifest is None or other.manifest is None:
        lacking = one if one.manifest is None else other
        images = {}
        why = (
            f"are of different test sets, and that of {lacking.name}, {lacking.testset} "
            f"({lacking.spec.testset[:12]}), is missing, so common images cannot be found"
        )
    else:
        theirs = {files: image for image, files in _files(other.manifest).items()}
        mine = _files(one.manifest)
        same = {image: theirs[mine[image]] for image in one.records if mine[image] in theirs}
        images = {image: theirs for image, theirs in same.items() if theirs in other.records}
        why = "are on different test sets without a common image (equal HR and LR files)"
    if not images:
        raise BenchError(f"{one.name} and {other.name} {why}: there is nothing to compare.")
    return images


def _files(manifest: Manifest) -> dict[str, tuple[str | None, str]]:
    return {entry.id: (entry.hr_sha256, entry.lr_sha256) for entry in manifest.images}


def _measure(
    metric: Measure, one: Result, other: Result, images: Mapping[str, str]
) -> Measurement | None:
    """Return both by one metric, preferably measured alike; None if a value is missing."""
    per_image = metric.per == "image"
    known = [_by_identity(result, metric.name, per_image) for result in (one, other)]
    chosen = _identities(metric.key, *known)
    if chosen is None:
        return None
    mine, theirs = known[0][chosen[0]], known[1][chosen[1]]
    column = Column(
        metric.name, metric.title, metric.higher_is_better, metric.digits, metric.unit, metric.per
    )
    if not per_image:
        if one.spec.testset != other.spec.testset:
            return None  # of other images, too
        return Measurement(column, mine[""], theirs[""], identities=chosen)
    pairs = {a: (mine[a], theirs[b]) for a, b in images.items() if a in mine and b in theirs}
    finite = [pair for pair in pairs.values() if all(map(math.isfinite, pair))]
    if not pairs:
        return None
    change = paired(*np.array(finite).T) if finite else None
    first, second = map(mean, zip(*(finite or pairs.values()), strict=True))
    left_out = len(pairs) - len(finite)
    return Measurement(column, first, second, pairs, change, left_out, identities=chosen)


def _by_identity(result: Result, metric: str, per_image: bool) -> dict[str, dict[str, float]]:
    """Return identity -> image -> value of a metric; a set's image is ""."""
    scores = result.scores
    rows = scores[(scores["metric"] == metric) & scores["value"].notna()]
    rows = rows[rows["image"].isin(result.records) if per_image else rows["image"] == ""]
    return {
        str(identity): dict(zip(of["image"], of["value"].astype(float), strict=True))
        for identity, of in rows.groupby("identity", sort=False)
    }


def _identities(
    current: str, one: Mapping[str, object], other: Mapping[str, object]
) -> Pair[str] | None:
    """Choose metric identities: the current, else the last in both, else the last of each."""
    if not one or not other:
        return None
    shared = [identity for identity in one if identity in other]
    if shared:
        same = current if current in shared else shared[-1]
        return same, same
    return list(one)[-1], list(other)[-1]


def _cost(
    column: Column, one: Result, other: Result, images: Mapping[str, str]
) -> Measurement | None:
    """Compare recorded costs; not tested, since timings vary between machines."""
    if column.name == "memory":
        if one.memory is None or other.memory is None:
            return None
        return Measurement(column, one.memory / 2**30, other.memory / 2**30)
    mine = [getattr(one.records[image], column.name) for image in images]
    theirs = [getattr(other.records[image], column.name) for image in images.values()]
    if None in mine or None in theirs:
        return None
    whole = replace(column, per="run")
    return Measurement(whole, mean(mine), mean(theirs))


def _differences(one: Result, other: Result) -> list[Difference]:
    found = []
    for of, identity in ((_identity, True), (_recorded, False)):
        mine, theirs = of(one), of(other)
        found += [
            Difference(name, mine.get(name), theirs.get(name), identity)
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]
    return found


def _identity(result: Result) -> dict[str, str]:
    """Return everything that determines a run's images."""
    spec = result.spec
    named = {"method": spec.method, "test set": spec.testset[:12]}
    return named | {name: str(value) for name, value in facts(spec).items()}


def _recorded(result: Result) -> dict[str, str]:
    """Return the recorded code, packages and machine."""
    known: dict[str, Any] = dict(result.provenance)
    packages = known.pop("packages", {})
    commit, dirty = known.pop("commit", None), known.pop("dirty", None)
    if commit is not None:
        known["commit"] = f"{str(commit)[:12]}{' with changes' if dirty else ''}"
    for name in ("started", "weights", "not_promised"):  # differ without meaning
        known.pop(name, None)
    if isinstance(packages, Mapping):
        known |= {f"{name} (package)": version for name, version in packages.items()}
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in known.items()
        if value is not None
    }


def _notes(compared: Comparison) -> list[str]:
    """Return notes on a comparison by metrics, without the costs."""
    one, other, images = compared.one, compared.other, compared.images
    notes = []
    if not compared.whole:
        notes.append(
            f"The test sets differ: compared are the {len(images)} images whose HR and LR files "
            "are the same in both."
        )
    elif len(images) < max(len(one.records), len(other.records)):
        notes.append(
            f"Compared are the {len(images)} images that both have: A has {len(one.records)}, "
            f"B {len(other.records)}."
        )
    if compared.identical == len(images):
        notes.append(
            "All images are byte-identical despite the differences."
            if compared.differences
            else "All images are byte-identical."
        )
    elif not any(found.identity for found in compared.differences):
        notes.append(
            "Both are runs of the same identity, but "
            f"{len(images) - compared.identical} pictures differ: "
            + (
                "see the differences in code, packages and machine."
                if compared.differences
                else "the recorded facts do not explain it."
            )
        )
    for made in compared.measurements:
        if not made.alike:
            notes.append(
                f"{made.column.title} was measured in different ways, so its difference is not due "
                "to the images alone: run `bench evaluate` on both with the same version. "
                f"A: {made.identities[0]}. B: {made.identities[1]}."
            )
        if made.left_out:
            notes.append(
                f"{made.column.title}: {made.left_out} images with an infinite value are excluded "
                "from means and tests."
            )
    if not compared.measurements:
        notes.append("No metric has values for both: run `bench evaluate`.")
    return notes
