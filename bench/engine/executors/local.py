"""Restore units in this process, with retries of failures."""

import resource
import textwrap
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.memory import free_device_memory, keep_freed_memory, lacks_memory
from bench.engine.executors.work import (
    Assignment,
    Outcome,
    Restored,
    Unit,
    Watch,
    Workers,
    no_watch,
)
from bench.engine.models import choose_device
from bench.engine.provenance import provenance
from bench.images import Pixels, to_pixels
from bench.methods import Incomplete

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules that define compilation errors; importing them takes seconds."""

BETWEEN = 0.25
"""Seconds between progress reports within a batch."""

LARGEST_PART = 0.99
"""Largest reported share of an unfinished batch, in case the expected NFE is wrong."""

LONGEST_REASON = 500
"""Longest reason in characters, one line in a table's notes."""


class ThisProcess:
    """Executor with one worker, which is this process."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or choose_device()

    def provenance(self) -> dict[str, Any]:
        return provenance(self._device)

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        worker = Worker(assignment, self._device)

        def restore(units: Iterable[Unit], watch: Watch = no_watch) -> Iterator[Outcome]:
            return (worker.restore(unit, watch) for unit in units)

        yield restore


@dataclass(frozen=True)
class _Attempt:
    """Outcome of one call of a method: results, and the error behind missing ones.

    `divisible` says whether fewer images at a time may help, `memory` whether it ran out.
    """

    restored: Restored
    reason: str = ""
    divisible: bool = True
    memory: bool = False


class Worker:
    """A loaded method on a device.

    A failed batch is halved, down to single images; an image that fails alone is recorded as a
    failure. After running out of memory, all later batches have the smaller size.
    """

    def __init__(self, assignment: Assignment, device: torch.device) -> None:
        keep_freed_memory()
        self._assignment, self._device = assignment, device
        self._configured = assignment.configured()
        self._loaded = assignment.load(device)
        there = {**self._loaded.sha256, **self._configured.fingerprint(assignment.size)}
        differing = sorted(name for name, _ in there.items() ^ assignment.hashes.items())
        if differing:
            raise BenchError(
                f"{assignment.method}: {', '.join(dict.fromkeys(differing))} is not what it was "
                "where the run began: use the same files everywhere, or run again."
            )
        self._largest: int | None = None
        part = self._configured
        self._nfe = part.method.expected_nfe(part.settings)  # per image; later the last batch's
        self._told = 0.0

    def restore(self, unit: Unit, watch: Watch = no_watch) -> Outcome:
        """Restore a unit, recording failures; interruptions and device failures are raised.

        Raises:
            BenchError: the device can't be used any more.
        """
        restored: list[Restored] = []
        failed: dict[str, str] = {}
        waiting = deque([unit])
        while waiting:
            part = waiting.popleft()
            if self._largest and len(part) > self._largest:
                waiting.extendleft(reversed(part.split(self._largest)))
                continue
            attempt = self._attempt(part, watch)
            if attempt.restored.pictures:
                restored.append(attempt.restored)
            lost = [image for image in part.images if image not in attempt.restored.pictures]
            if lost and attempt.divisible and len(part) > 1:
                half = len(part) // 2
                if attempt.memory:
                    self._largest = half
                    free_device_memory()
                waiting.extendleft(reversed(part.split(half)))
            else:
                failed |= dict.fromkeys(lost, attempt.reason)
        return Outcome(tuple(restored), failed, self._peak_memory())

    def _watched(self, unit: Unit, watch: Watch) -> Callable[[], None]:
        """Return a function that reports the progress of a unit to `watch`."""
        before = self._loaded.evaluations

        def tell() -> None:
            now = time.monotonic()
            if self._nfe and now - self._told > BETWEEN:
                self._told = now
                part = (self._loaded.evaluations - before) / self._nfe
                watch(min(part, LARGEST_PART * len(unit)))

        return tell

    def _attempt(self, unit: Unit, watch: Watch) -> _Attempt:
        # What is returned holds no exception: its traceback would keep the batch's tensors alive.
        started, before = time.perf_counter(), self._loaded.evaluations
        for counter in self._loaded.counters:
            counter.watch = self._watched(unit, watch)
        pictures: Mapping[str, Pixels] = {}
        reason, divisible, memory = "", True, False
        try:
            pictures = self._pictures(unit)
        except torch.AcceleratorError as error:  # everything else on this device would fail too
            raise BenchError(
                f"The device failed ({error}): run the same command to continue."
            ) from error
        except Incomplete as error:
            reason = str(error)
            if error.method == self._assignment.method:  # an inner method's images are no results
                pictures, divisible = error.restored, False
        except Exception as error:
            if type(error).__module__.startswith(COMPILERS):
                reason = reason_of(error)
                raise BenchError(f"--compile does not work here; remove it: {reason}") from error
            reason, memory = reason_of(error), lacks_memory(error)
        seconds = (time.perf_counter() - started) / len(unit)
        watch(0)
        counted = self._configured.method.fingerprint is None
        evaluations = (self._loaded.evaluations - before) // len(unit) if counted else None
        if evaluations and pictures:
            self._nfe = evaluations
        return _Attempt(Restored(pictures, seconds, evaluations), reason, divisible, memory)

    def _pictures(self, unit: Unit) -> dict[str, Pixels]:
        problem = self._assignment.problem(unit, self._loaded, self._device)
        with torch.no_grad():
            restored = self._configured.restore(problem)
        _check(self._assignment.method, restored, (len(unit), 3, problem.size, problem.size))
        return dict(zip(unit.images, to_pixels(restored), strict=True))

    def _peak_memory(self) -> int:
        """Return the peak memory of the GPU, this process, or an external program, in bytes."""
        if self._configured.method.fingerprint:
            return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def _check(name: str, restored: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(restored, Tensor):
        raise BenchError(f"{name} returned {type(restored).__name__}, not a tensor.")
    if tuple(restored.shape) != shape:
        raise BenchError(
            f"{name} returned a tensor of shape {list(restored.shape)}, not {list(shape)}."
        )
    if restored.dtype != torch.float32:
        raise BenchError(f"{name} returned {restored.dtype}, not torch.float32.")
    if not restored.isfinite().all():
        raise BenchError(f"{name} returned values that are not finite numbers.")


def reason_of(error: Exception) -> str:
    """Return an error as one line, with type and place unless it is a message for people."""
    if isinstance(error, BenchError):
        text = str(error)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        place = f"{own[-1].filename}, line {own[-1].lineno}"
        text = f"{type(error).__name__}: {error} ({place})"
    return textwrap.shorten(text, LONGEST_REASON, placeholder=" ...")
