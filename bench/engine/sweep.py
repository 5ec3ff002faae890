"""Run one method with many settings: sweeps and named variants.

Every point is a run like any other, with an identity of its own, so that none is made twice.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_json
from bench.core.progress import notice
from bench.engine.executors.work import Executor
from bench.engine.experiment import Experiment
from bench.engine.models import load_models
from bench.engine.run import Finished, check_prerequisites, run_suite
from bench.methods import Method, find_method

Point = Mapping[str, Any]
"""Changed settings of a method: setting -> value."""

CPU = torch.device("cpu")


def one_at_a_time(values: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Vary one setting at a time, after the unchanged settings."""
    return [{}, *({name: value} for name, given in values.items() for value in given)]


def combinations(values: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Combine all values of all settings, after the unchanged settings."""
    return [{}, *(dict(zip(values, of, strict=True)) for of in itertools.product(*values.values()))]


def variants_of(method: Method[Any]) -> list[Point]:
    """Return the unchanged settings, then those of each variant in the method's file.

    Raises:
        WrongUsage: the method names no variants.
    """
    if not method.variants:
        raise WrongUsage(f"{method.name} has no variants: give values, such as --steps 20 50.")
    return [{}, *method.variants.values()]


def run_sweep(
    name: str,
    points: Sequence[Point],
    experiment: Experiment,
    executor: Executor | None = None,
    fail_fast: bool = False,
) -> list[Finished]:
    """Run a method at each point; points with equal settings share a run.

    A point that can't run here, such as one whose network is not trained, is skipped, and the
    reason is printed.

    Raises:
        BenchError: as `run_suite`, or none of the points can be run.
    """
    method = find_method(name)
    planned = _planned(method, points, experiment)
    reasons = {words: _impossible(name, planned[words]) for words in planned}
    if all(reasons.values()):
        raise BenchError(" ".join(dict.fromkeys(filter(None, reasons.values()))))
    for words, reason in reasons.items():
        if reason:
            notice(f"Skipped {words}: {reason}")
    possible = [words for words in planned if not reasons[words]]
    finished: list[Finished] = []
    for number, words in enumerate(possible, start=1):
        notice(f"{number} of {len(possible)}: {words}")
        finished += run_suite((name,), planned[words], executor, fail_fast)
    return finished


def _planned(
    method: Method[Any], points: Sequence[Point], experiment: Experiment
) -> dict[str, Experiment]:
    """Return label -> settings of each point; points with equal settings are merged."""
    planned: dict[str, Experiment] = {}
    met = set()
    for point in points:
        own = {**experiment.settings.get(method.name, {}), **point}
        changed = replace(experiment, settings={**experiment.settings, method.name: own})
        same = sha256_json(changed.configured(method.name).facts())
        if same not in met:
            met.add(same)
            changes = [f"{setting} {value}" for setting, value in point.items()]
            words = ", ".join([method.title, *(changes or ["settings as they are"])])
            planned[words] = changed
    return planned


def _impossible(name: str, experiment: Experiment) -> str | None:
    """Return why a method cannot run here; None if it can."""
    configured, size = experiment.configured(name), experiment.plan.size
    try:
        check_prerequisites(configured, size, experiment.weights)
        # Only the files say whether networks fit.
        load_models(configured, size, experiment.weights, CPU)
    except BenchError as error:
        return str(error)
    return None
