"""Running one method with many settings: sweeps, and the named variants of an ablation.

Every point is a run like any other, with an identity of its own, so that none is made twice.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.config import Precision, Weights
from bench.engine.models import load_models
from bench.engine.run import Finished, require, run_suite
from bench.errors import BenchError, WrongUsage
from bench.files import sha256_json
from bench.method import Configured, Method, configure, find_method
from bench.progress import notice
from bench.testset.manifest import Plan, TestSet

Point = Mapping[str, Any]
"""What is changed of a method's settings: setting -> value."""

CPU = torch.device("cpu")


def one_at_a_time(values: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The settings as they are, then each value of each setting with all others as they are."""
    return [{}, *({name: value} for name, given in values.items() for value in given)]


def combinations(values: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The settings as they are, then every combination of the values."""
    return [{}, *(dict(zip(values, of, strict=True)) for of in itertools.product(*values.values()))]


def variants_of(method: Method[Any]) -> list[Point]:
    """The settings as they are, then those of each variant that the method's file names.

    Raises:
        WrongUsage: it names none.
    """
    if not method.variants:
        raise WrongUsage(f"{method.name} has no variants: give values, such as --steps 20 50.")
    return [{}, *method.variants.values()]


def run_sweep(
    name: str,
    points: Sequence[Point],
    settings: Mapping[str, Mapping[str, Any]],
    testset: TestSet,
    results: Path,
    weights: Weights,
    seed: int,
    batch: int | None,
    repetitions: int = 1,
    precision: Precision = "float32",
    strict: bool = False,
) -> list[Finished]:
    """Run a method at each point, over its settings given; points that are alike are one run.

    A point that can't be run here, such as one whose network was not trained, is left out, and
    the reason told.

    Raises:
        BenchError: as `run_suite`, or none of the points can be run.
    """
    method, plan = find_method(name), testset.manifest.plan
    planned = _planned(method, points, settings, plan)
    reasons = {run.words: _impossible(run.configured, plan.size, weights) for run in planned}
    if all(reasons.values()):
        raise BenchError(" ".join(dict.fromkeys(filter(None, reasons.values()))))
    for words, reason in reasons.items():
        if reason:
            notice(f"{words} is left out: {reason}")
    possible = [run for run in planned if not reasons[run.words]]
    finished: list[Finished] = []
    for number, run in enumerate(possible, start=1):
        notice(f"{number} of {len(possible)}: {run.words}")
        made = run_suite(
            (name,),
            run.settings,
            testset,
            results,
            weights,
            seed,
            batch,
            repetitions,
            strict=strict,
            precision=precision,
        )
        for item in made:
            item.run.note_variants(method.variants_of(item.run.spec.settings))
        finished += made
    return finished


@dataclass(frozen=True)
class _Planned:
    """A run to be made: what it is in words, the settings of all methods, and what they make."""

    words: str
    settings: Mapping[str, Mapping[str, Any]]
    configured: Configured


def _planned(
    method: Method[Any],
    points: Sequence[Point],
    settings: Mapping[str, Mapping[str, Any]],
    plan: Plan,
) -> list[_Planned]:
    """A run for each point, but one for those that come to the same settings."""
    planned: dict[str, _Planned] = {}
    for point in points:
        merged = {**settings, method.name: {**settings.get(method.name, {}), **point}}
        configured = configure(method, plan.scale, plan.size, merged)
        changes = [f"{setting} {value}" for setting, value in point.items()]
        words = ", ".join([method.title, *(changes or ["settings as they are"])])
        same = sha256_json(configured.facts())
        planned.setdefault(same, _Planned(words, merged, configured))
    return list(planned.values())


def _impossible(configured: Configured, size: int, weights: Weights) -> str | None:
    """Why a method can't be run here as configured; None when it can."""
    try:
        require(configured, size, weights)
        load_models(configured, size, weights, CPU)  # whether they fit shows in their files alone
    except BenchError as error:
        return str(error)
    return None
