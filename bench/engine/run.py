"""Run methods over a test set, keeping finished work and resuming interrupted runs.

Executors do the work; only this module writes to the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.core.concurrency import background_calls, prefetch
from bench.core.errors import BenchError
from bench.core.progress import Advance, notice, progress
from bench.engine.executors.devices import this_machine
from bench.engine.executors.work import Executor, Outcome, Unit
from bench.engine.experiment import Experiment, ResolvedMethod
from bench.engine.models import choose_device, find_checkpoints
from bench.engine.provenance import OUTSIDE
from bench.methods import Configured
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet

READ_AHEAD, WRITE_BEHIND = 2, 2
"""Number of prefetched units, and of outcomes waiting to be written."""


@dataclass(frozen=True)
class Finished:
    """A run that has tried every image: number of restored images, and failures with reasons."""

    run: Run
    restored: int
    failed: Mapping[str, str] = field(default_factory=dict)


def run_suite(
    names: Sequence[str],
    experiment: Experiment,
    executor: Executor | None = None,
    fail_fast: bool = False,
) -> list[Finished]:
    """Run several methods after checking all prerequisites.

    Raises:
        BenchError: an unknown method or setting, or as `run_resolved`.
    """
    names = list(dict.fromkeys(names))
    # Mistyped names and settings first: they are quickly found and corrected.
    configured = {name: experiment.configured(name) for name in (*names, *experiment.settings)}
    resolved = [experiment.resolve(configured[name]) for name in names]
    executor = executor or this_machine()
    return [
        run_resolved(method, repetition, executor, fail_fast)
        for method in resolved
        for repetition in range(experiment.repetitions)
    ]


def run_resolved(
    method: ResolvedMethod,
    repetition: int = 0,
    executor: Executor | None = None,
    fail_fast: bool = False,
) -> Finished:
    """Restore all missing images of a run and retry failed ones, holding the run's lock.

    Failures are recorded with their reason, and the run continues; with `fail_fast` it stops.

    Raises:
        BenchError: missing weights, or a failure with `fail_fast`.
        KeyboardInterrupt: stopped; finished work is kept.
    """
    spec = method.spec(repetition)
    with method.run(spec).exclusive():
        return _run(method, spec, executor or this_machine(), fail_fast)


def _run(method: ResolvedMethod, spec: RunSpec, executor: Executor, fail_fast: bool) -> Finished:
    testset, title = method.experiment.testset, method.configured.method.title
    assignment = method.assignment(spec.repetition)
    images = list(testset.entries)
    run = method.run(spec)
    done = run.records()
    pending = [image for image in images if image not in done]
    facts = _provenance(executor, method, compiled=assignment.compiled)
    if not pending and run.finished:
        return Finished(_open(method, spec, facts), 0)
    device_batch = method.experiment.images_at_a_time(choose_device())
    batch = method.configured.method.batch or device_batch
    with executor.ready(assignment) as restore:  # before anything of the run is written
        run = _open(method, spec, facts)
        if done or run.finished:
            run.note_resume(facts)
        if run.finished:
            run.reopen()
        if assignment.compiled and pending:
            notice(f"{title}: the first batch takes longer because networks are compiled.")
        failed: dict[str, str] = {}
        peak_memory = 0
        with (
            progress(title, len(images), done=len(done)) as advance,
            prefetch(_units(testset, pending, batch), READ_AHEAD) as units,
            background_calls(WRITE_BEHIND) as write,
        ):
            for outcome in restore(units, lambda part: advance(0, part=part)):
                failed |= outcome.failed
                peak_memory = max(peak_memory, outcome.peak_memory)
                write(_keep, run, outcome, advance, f"{len(failed)} failed" if failed else "")
                if failed and fail_fast:
                    raise BenchError(f"{describe(spec.method, failed)} Restored images are kept.")
    run.finish(images, {"peak_memory_bytes": peak_memory} if peak_memory else {})
    return Finished(run, len(pending) - len(failed), failed)


def _open(method: ResolvedMethod, spec: RunSpec, facts: Mapping[str, Any]) -> Run:
    """Open the run for writing, with its method's title and the variants its settings match."""
    experiment, described = method.experiment, method.configured.method
    run = Run.open(experiment.results, experiment.testset.name, described.title, spec, facts)
    run.note_variants(described.variants_of(spec.settings))
    return run


def _provenance(executor: Executor, method: ResolvedMethod, *, compiled: bool) -> dict[str, Any]:
    """Return the provenance of a run: machine, files, and limits of determinism."""
    facts = dict(executor.provenance())
    facts["weights"] = {kind: str(path.resolve()) for kind, path in method.checkpoints.items()}
    if method.external:
        facts["not_promised"] = [*facts["not_promised"], OUTSIDE]
    return {**facts, "compiled": compiled}


def describe(name: str, failed: Mapping[str, str]) -> str:
    """Return how many images a method failed on, with the first reason."""
    image, reason = next(iter(failed.items()))
    what = "1 image" if len(failed) == 1 else f"{len(failed)} images"
    return f"{name} failed on {what}: {image}: {reason.rstrip('.')}."


def _keep(run: Run, outcome: Outcome, advance: Advance, note: str) -> None:
    for part in outcome.restored:
        run.write(part.pictures, part.seconds, part.evaluations)
        advance(len(part.pictures), note)
    run.note_failures(outcome.failed)
    advance(0, note)


def _units(testset: TestSet, images: Sequence[str], batch: int) -> Iterator[Unit]:
    """Yield units of `batch` images in order; LR images are read when a unit is asked for."""
    for start in range(0, len(images), batch):
        names = tuple(images[start : start + batch])
        yield Unit(names, tuple(testset.measurement(image) for image in names))


def check_prerequisites(configured: Configured, size: int, weights: Mapping[str, str]) -> None:
    """Check all prerequisites of a method and its inner method, without loading any network.

    Raises:
        BenchError: something is missing, with the command that gets it, or a method is not made
            for such a test set.
    """
    find_checkpoints(configured, size, weights)
    configured.fingerprint(size)
