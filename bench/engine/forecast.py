"""Forecast the cost of runs: exact NFE, and times from a rehearsal.

In a rehearsal, a method restores one batch with its own networks. Each network computes only its
first few calls and then repeats its last output. Every call is counted, and its cost is estimated
from the computed calls: the time from the start of a call to the start of the next, including all
work of the method in between, such as backpropagation through the network.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.memory import keep_freed_memory, lacks_memory
from bench.engine.executors.local import reason_of
from bench.engine.executors.work import Assignment, Unit
from bench.engine.experiment import Experiment, ResolvedMethod
from bench.engine.models import choose_device
from bench.images import encode_png, to_pixels
from bench.testsets.manifest import TestSet

COMPUTED = 5
"""Evaluations per batch size that a rehearsal computes."""


@dataclass(frozen=True)
class Forecast:
    """Cost of restoring `images` images by a method.

    `calls` is the NFE summed over all images, `seconds` the total time, including `loading` before
    the first image, and `disk` the size of the results in bytes. None means unknown, as for
    external programs. Times are those of one device.
    """

    title: str
    images: int
    calls: int | None
    seconds: float | None
    loading: float
    disk: int


@dataclass(frozen=True)
class Rehearsal:
    """NFE and seconds per image, and seconds of loading."""

    calls: int
    seconds: float
    loading: float


class _Clock:
    """Start times of evaluations, and which of them were computed."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun: list[tuple[Any, bool, float]] = []

    def now(self) -> float:
        if self._device.type == "cuda":  # which computes asynchronously
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def begin(self, call: Any, computed: bool) -> None:
        self._begun.append((call, computed, self.now()))

    def seconds(self, started: float, ended: float) -> float:
        """Return the time from start to end as if every call had been computed."""
        if not self._begun:
            return ended - started
        times = [begun for _, _, begun in self._begun[1:]] + [ended]
        took: dict[Any, list[float]] = defaultdict(list)
        for (call, computed, begun), following in zip(self._begun, times, strict=True):
            if computed:
                took[call].append(following - begun)
        # The first call of each kind is a warm-up.
        each = {call: statistics.median(all_[1:] or all_) for call, all_ in took.items()}
        return self._begun[0][2] - started + sum(each[call] for call, _, _ in self._begun)


class _Rehearsed:
    """A network that computes its first calls per batch size, then repeats the last output."""

    def __init__(self, network: Any, clock: _Clock) -> None:
        self._network, self._clock = network, clock
        self._answers: dict[torch.Size, Any] = {}
        self._computed: dict[torch.Size, int] = defaultdict(int)

    def __call__(self, x: Tensor, *conditions: Any) -> Any:
        compute = self._computed[x.shape] < COMPUTED
        self._clock.begin((id(self), x.shape), compute)
        if compute:
            self._computed[x.shape] += 1
            self._answers[x.shape] = self._network(x, *conditions)
        return self._answers[x.shape]


def rehearse(assignment: Assignment, unit: Unit, device: torch.device) -> Rehearsal:
    """Estimate a batch's cost from part of it."""
    clock = _Clock(device)
    began = clock.now()
    loaded = assignment.load(device)
    for counter in loaded.counters:
        counter.network = _Rehearsed(counter.network, clock)
    started = clock.now()
    problem = assignment.problem(unit, loaded, device)
    with torch.no_grad():
        restored = assignment.configured().restore(problem)
    for picture in to_pixels(restored):
        encode_png(picture)
    seconds = clock.seconds(started, clock.now())
    return Rehearsal(loaded.evaluations // len(unit), seconds / len(unit), started - began)


def _rehearse_what_fits(assignment: Assignment, unit: Unit, device: torch.device) -> Rehearsal:
    """Rehearse a batch, halved until it fits into memory, as a run would.

    Raises:
        BenchError: the method failed.
    """
    while True:
        try:
            return rehearse(assignment, unit, device)
        except BenchError:
            raise
        except Exception as error:  # whatever a method raises
            if not lacks_memory(error) or len(unit) == 1:
                reason = reason_of(error)
                raise BenchError(f"{assignment.method} failed in rehearsal: {reason}") from error
        unit = unit.split(len(unit) // 2)[0]


def forecast_suite(names: Sequence[str], experiment: Experiment) -> list[Forecast]:
    """Estimate the remaining cost of `run_suite` per method.

    Raises:
        BenchError: as `run_suite`.
    """
    device, testset = choose_device(), experiment.testset
    batch = experiment.images_at_a_time(device)
    forecasts = []
    for name in dict.fromkeys(names):
        images: list[str] = []
        resolved = experiment.resolve(name)
        for repetition in range(experiment.repetitions):
            done = resolved.run(resolved.spec(repetition)).records()
            images += [image for image in testset.entries if image not in done]
        forecasts.append(_forecast(resolved, images, batch, device))
    return forecasts


def _forecast(
    resolved: ResolvedMethod, images: Sequence[str], batch: int, device: torch.device
) -> Forecast:
    """Estimate the cost of restoring these images, `batch` at a time.

    Raises:
        BenchError: a checkpoint does not fit.
    """
    method, testset = resolved.configured.method, resolved.experiment.testset
    disk = len(images) * _picture_bytes(testset)
    if not images or method.fingerprint:
        known = None if images else 0
        return Forecast(method.title, len(images), known, known, 0.0, disk)
    keep_freed_memory()
    first = tuple(images[:batch])
    unit = Unit(first, tuple(testset.measurement(image) for image in first))
    rehearsal = _rehearse_what_fits(resolved.assignment(), unit, device)
    return Forecast(
        title=method.title,
        images=len(images),
        calls=len(images) * rehearsal.calls,
        seconds=rehearsal.loading + len(images) * rehearsal.seconds,
        loading=rehearsal.loading,
        disk=disk,
    )


def _picture_bytes(testset: TestSet) -> int:
    """Estimate the size of a result in bytes: that of its original, or of noise."""
    plan = testset.manifest.plan
    hr = [entry.hr for entry in testset.manifest.images[:100] if entry.hr]
    if not hr:
        return 3 * plan.size**2
    return round(statistics.mean((testset.folder / name).stat().st_size for name in hr))
