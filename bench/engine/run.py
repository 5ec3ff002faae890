"""Running methods over a test set: what is to be done, what is kept, what is taken up again.

The work itself is an executor's. This driver alone touches the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.config import Weights
from bench.engine.devices import this_machine
from bench.engine.experiment import Experiment, assign, identify
from bench.engine.models import choose_device, find_checkpoints
from bench.engine.provenance import OUTSIDE
from bench.engine.work import Assignment, Executor, Outcome, Unit
from bench.errors import BenchError
from bench.method import Configured
from bench.progress import Advance, notice, progress
from bench.store import Run
from bench.testset.manifest import TestSet
from bench.threads import ahead, behind

AHEAD, BEHIND = 2, 2
"""Units that are read before they are asked for, and outcomes that wait to be written."""


@dataclass(frozen=True)
class Finished:
    """A run that has tried every image: how many it restored just now, which failed and why."""

    run: Run
    restored: int
    failed: Mapping[str, str] = field(default_factory=dict)


def run_method(
    name: str,
    experiment: Experiment,
    repetition: int = 0,
    executor: Executor | None = None,
    strict: bool = False,
) -> Finished:
    """Restore every image of the test set that this run lacks, and try again those that failed.

    What fails is recorded with the reason and the rest goes on; if `strict`, it does not.

    Raises:
        BenchError: an unknown method or setting, missing weights, or a failure and `strict`.
        KeyboardInterrupt: stopped; what is done is kept.
    """
    assignment = assign(name, experiment, repetition)
    spec = identify(assignment, experiment.testset)
    with Run.of(experiment.results, experiment.testset.name, spec).alone():
        return _run(assignment, experiment, executor or this_machine(), strict)


def _run(
    assignment: Assignment, experiment: Experiment, executor: Executor, strict: bool
) -> Finished:
    """As `run_method`, where no other process is at the same run."""
    testset, method = experiment.testset, assignment.configured().method
    images = list(testset.entries)
    run = Run.of(experiment.results, testset.name, identify(assignment, testset))
    done = run.records()
    pending = [image for image in images if image not in done]
    facts = {**_facts(executor, assignment), "compiled": assignment.compiled}
    batch = method.batch or experiment.images_at_a_time(choose_device())
    if not pending and run.finished:
        return Finished(_open(assignment, experiment, facts), 0)
    with executor.ready(assignment) as restore:  # before anything of the run is written
        run = _open(assignment, experiment, facts)
        if done or run.finished:
            run.note_resume(facts)
        if run.finished:
            run.reopen()
        if assignment.compiled and pending:
            notice(f"{method.title}: the first batch takes longer, as networks are compiled.")
        failed: dict[str, str] = {}
        peak_memory = 0
        with (
            progress(method.title, len(images), done=len(done)) as advance,
            ahead(_units(testset, pending, batch), AHEAD) as units,
            behind(BEHIND) as later,
        ):
            for outcome in restore(units):
                failed |= outcome.failed
                peak_memory = max(peak_memory, outcome.peak_memory)
                later(_keep, run, outcome, advance, f"{len(failed)} failed" if failed else "")
                if failed and strict:
                    raise BenchError(f"{describe(method.name, failed)} What it restored is kept.")
    run.finish(images, {"peak_memory_bytes": peak_memory} if peak_memory else {})
    return Finished(run, len(pending) - len(failed), failed)


def _open(assignment: Assignment, experiment: Experiment, facts: Mapping[str, Any]) -> Run:
    """The run for writing, under its method's title and the names that its settings have."""
    method, spec = assignment.configured().method, identify(assignment, experiment.testset)
    run = Run.open(experiment.results, experiment.testset.name, method.title, spec, facts)
    run.note_variants(method.variants_of(spec.settings))
    return run


def _facts(executor: Executor, assignment: Assignment) -> dict[str, Any]:
    """Where a run is made, of which files, and why another time may give other bytes."""
    facts = dict(executor.provenance())
    chosen = {kind: path for kind, path in asdict(assignment.weights).items() if path}
    facts["weights"] = {kind: str(Path(path).resolve()) for kind, path in chosen.items()}
    if assignment.configured().fingerprint(assignment.size):
        facts["not_promised"] = [*facts["not_promised"], OUTSIDE]
    return facts


def describe(name: str, failed: Mapping[str, str]) -> str:
    """Sentences about a method's failures, which are not empty: how many, and the first."""
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
    """Images in their order, `batch` at a time; LR pictures are read when they are asked for."""
    for start in range(0, len(images), batch):
        names = tuple(images[start : start + batch])
        yield Unit(names, tuple(testset.lr(image) for image in names))


def require(configured: Configured, size: int, weights: Weights) -> None:
    """Find all that a method, and the one inside it, need here, without loading it.

    Raises:
        BenchError: something is missing, with the command that changes it, or one of them is not
            made for such a test set.
    """
    find_checkpoints(configured, size, weights)
    configured.fingerprint(size)


def run_suite(
    names: Sequence[str],
    experiment: Experiment,
    executor: Executor | None = None,
    strict: bool = False,
) -> list[Finished]:
    """Run several methods; whatever any of them lacks is found before the first one starts.

    Raises:
        BenchError: as `run_method`.
    """
    names = list(dict.fromkeys(names))
    configured = {name: experiment.configured(name) for name in (*names, *experiment.settings)}
    for name in names:  # behind the names, whose mistakes are mended sooner
        require(configured[name], experiment.plan.size, experiment.weights)
    executor = executor or this_machine()
    return [
        run_method(name, experiment, repetition, executor, strict)
        for name in names
        for repetition in range(experiment.repetitions)
    ]
