"""Running methods over a test set: what is to be done, what is kept, what is taken up again.

The work itself is an executor's. This driver alone touches the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.config import Precision, Weights
from bench.engine.devices import this_machine
from bench.engine.models import choose_device, default_batch, find_checkpoints
from bench.engine.provenance import OUTSIDE
from bench.engine.work import Assignment, Executor, Outcome, Unit, find_configured
from bench.errors import BenchError
from bench.files import sha256_file
from bench.method import Configured
from bench.progress import Advance, notice, progress
from bench.store import Run, RunSpec
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
    overrides: Mapping[str, Any],
    testset: TestSet,
    results: Path,
    weights: Weights,
    seed: int,
    batch: int,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    repetition: int = 0,
    strict: bool = False,
    executor: Executor | None = None,
    precision: Precision = "float32",
    compiled: bool = False,
) -> Finished:
    """Restore every image of the test set that this run lacks, and try again those that failed.

    `overrides` are settings of this method, `others` those of methods that it may hand work to.
    What fails is recorded with the reason and the rest goes on; if `strict`, it does not.

    Raises:
        BenchError: an unknown method or setting, missing weights, or a failure and `strict`.
        KeyboardInterrupt: stopped; what is done is kept.
    """
    executor = executor or this_machine()
    settings = {**(others or {}), name: overrides}
    assignment = assign(name, settings, testset, weights, seed, repetition, precision)
    assignment = replace(assignment, compiled=compiled and bool(assignment.hashes))
    with Run.of(results, testset.name, identify(assignment, testset)).alone():
        return _run(assignment, testset, results, batch, strict, executor)


def _run(
    assignment: Assignment,
    testset: TestSet,
    results: Path,
    batch: int,
    strict: bool,
    executor: Executor,
) -> Finished:
    """As `run_method`, where no other process is at the same run."""
    method, spec = assignment.configured().method, identify(assignment, testset)
    images = list(testset.entries)
    run = Run.of(results, testset.name, spec)
    done = run.records()
    pending = [image for image in images if image not in done]
    facts = {**_facts(executor, assignment), "compiled": assignment.compiled}
    if not pending and run.finished:
        return Finished(Run.open(results, testset.name, method.title, spec, facts), 0)
    with executor.ready(assignment) as restore:  # before anything of the run is written
        run = Run.open(results, testset.name, method.title, spec, facts)
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
            ahead(_units(testset, pending, method.batch or batch), AHEAD) as units,
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


def assign(
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
    testset: TestSet,
    weights: Weights,
    seed: int,
    repetition: int = 0,
    precision: Precision = "float32",
) -> Assignment:
    """What workers are told of a method on a test set; `weights` are the user's choices.

    A method without a network has one precision, so that its runs are one.

    Raises:
        BenchError: an unknown method or setting, or something is missing that it needs.
    """
    plan = testset.manifest.plan
    configured = find_configured(name, plan.scale, plan.size, settings)
    paths = find_checkpoints(configured, plan.size, weights)
    files: dict[str, str] = {need: sha256_file(path) for need, path in paths.items()}
    return Assignment(
        method=name,
        settings=settings,
        scale=plan.scale,
        size=plan.size,
        weights=Weights(**{need: str(path) for need, path in paths.items()}),
        hashes={**files, **configured.fingerprint(plan.size)},
        seed=seed,
        repetition=repetition,
        precision=precision if paths else "float32",
    )


def identify(assignment: Assignment, testset: TestSet) -> RunSpec:
    """The run that an assignment makes on a test set."""
    configured = assignment.configured()
    return RunSpec(
        method=assignment.method,
        revision=configured.method.revision,
        settings=configured.facts(),
        testset=testset.manifest.sha256,
        weights=assignment.hashes,
        seed=assignment.seed,
        repetition=assignment.repetition,
        precision=assignment.precision,
    )


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
    settings: Mapping[str, Mapping[str, Any]],
    testset: TestSet,
    results: Path,
    weights: Weights,
    seed: int,
    batch: int | None = None,
    repetitions: int = 1,
    strict: bool = False,
    executor: Executor | None = None,
    precision: Precision = "float32",
    compiled: bool = False,
) -> list[Finished]:
    """Run several methods; whatever any of them lacks is found before the first one starts.

    `settings` is method -> setting -> value, and may hold methods that are not run. Without `batch`
    the device decides, see `default_batch`.

    Raises:
        BenchError: as `run_method`.
    """
    plan = testset.manifest.plan
    needed = []
    for name in dict.fromkeys((*names, *settings)):
        configured = find_configured(name, plan.scale, plan.size, settings)
        if name in names:
            needed.append(configured)
    for configured in needed:  # behind the names, whose mistakes are mended sooner
        require(configured, plan.size, weights)
    executor = executor or this_machine()
    batch = batch or default_batch(plan.size, choose_device())
    return [
        run_method(
            name,
            settings.get(name, {}),
            testset,
            results,
            weights,
            seed,
            batch,
            settings,
            repetition,
            strict,
            executor,
            precision,
            compiled,
        )
        for name in dict.fromkeys(names)
        for repetition in range(repetitions)
    ]
