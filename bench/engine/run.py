"""Running one method over one test set: work in batches, kept as it comes, taken up again."""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config import Weights
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.models import LoadedModels, choose_device, find_checkpoints, load_models
from bench.engine.provenance import provenance
from bench.errors import BenchError
from bench.images import Pixels, to_model, to_pixels
from bench.memory import keep_freed_memory
from bench.method import Configured, Incomplete, Method, Problem, configure, find_method
from bench.progress import progress
from bench.store import Run, RunSpec
from bench.testset.manifest import TestSet


@dataclass(frozen=True)
class Finished:
    """A run that is complete, and how many of its images were restored just now."""

    run: Run
    restored: int


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
) -> Finished:
    """Restore every image of the test set that this run lacks.

    `overrides` are settings of this method, `others` those of methods that it may hand work to.

    Raises:
        BenchError: an unknown method or setting, missing weights, or a method that gave something
            else than images, or not all of them; then those that it gave are kept.
        KeyboardInterrupt: stopped; what is done is kept.
    """
    method = find_method(name)
    plan = testset.manifest.plan
    configured = configure(method, plan.scale, plan.size, {**(others or {}), name: overrides})
    device = choose_device()
    keep_freed_memory()
    loaded = load_models(configured, plan.size, weights, device)
    outside = configured.fingerprint(plan.size)
    spec = RunSpec(
        method=name,
        revision=method.revision,
        settings=configured.facts(),
        testset=testset.manifest.sha256,
        weights={**loaded.sha256, **outside},
        seed=seed,
        repetition=repetition,
    )
    facts = provenance(device, loaded.paths, outside)
    run = Run.open(results, testset.name, method.title, spec, facts)
    images = list(testset.entries)
    done = run.records()
    pending = [image for image in images if image not in done]
    if not pending and run.finished:
        return Finished(run, 0)
    if done or run.finished:
        run.note_resume(facts)
    if run.finished:
        run.reopen()
    lacking = []
    with progress(method.title, len(images), done=len(done)) as advance:
        for names in _batches(pending, method.batch or batch):
            started, evaluated = time.perf_counter(), loaded.evaluations
            try:
                pictures = restore_batch(
                    configured, testset, names, loaded, seed, device, repetition
                )
            except Incomplete as error:
                if error.method != name:  # it is of the method inside this one
                    raise
                pictures = dict(error.restored)
                lacking.append(str(error))
            seconds = (time.perf_counter() - started) / len(names)
            evaluations = (loaded.evaluations - evaluated) // len(names)
            run.write(pictures, seconds, None if method.fingerprint else evaluations)
            advance(len(pictures))
    if lacking:
        raise BenchError(f"{' '.join(lacking)} What it restored is kept, in {run.folder}.")
    run.finish(images, {"peak_memory_bytes": _peak_memory(method, device)})
    return Finished(run, len(pending))


def restore_batch(
    configured: Configured,
    testset: TestSet,
    images: Sequence[str],
    loaded: LoadedModels,
    seed: int,
    device: torch.device,
    repetition: int = 0,
) -> dict[str, Pixels]:
    """Image id -> restored picture [H, W, 3], for a batch of images.

    Raises:
        BenchError: the method's result has another shape or is not finite.
    """
    problem = Problem(
        lr=to_model([testset.lr(image) for image in images]).to(device),
        scale=testset.manifest.plan.scale,
        noise=KeyedNoise([StreamKey(seed, image, repetition) for image in images]),
        models=loaded.models,
        images=images,
    )
    with torch.no_grad():
        restored = configured.restore(problem)
    _check(configured.method.name, restored, (len(images), 3, problem.size, problem.size))
    return dict(zip(images, to_pixels(restored), strict=True))


def _check(name: str, restored: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(restored.shape) != shape:
        raise BenchError(
            f"{name} returned a tensor of shape {list(restored.shape)}, not {list(shape)}."
        )
    if not restored.isfinite().all():
        raise BenchError(f"{name} returned values that are not finite numbers.")


def _peak_memory(method: Method[Any], device: torch.device) -> int:
    """Most memory in use so far: of this process, on the GPU where it has one; or of a program."""
    if method.fingerprint:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def _batches(images: Sequence[str], size: int) -> list[Sequence[str]]:
    return [images[start : start + size] for start in range(0, len(images), size)]


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
    batch: int,
    repetitions: int = 1,
) -> list[Finished]:
    """Run several methods; whatever any of them lacks is found before the first one starts.

    `settings` is method -> setting -> value, and may hold methods that are not run.

    Raises:
        BenchError: as `run_method`.
    """
    plan = testset.manifest.plan
    needed = []
    for name in dict.fromkeys((*names, *settings)):
        configured = configure(find_method(name), plan.scale, plan.size, settings)
        if name in names:
            needed.append(configured)
    for configured in needed:  # behind the names, whose mistakes are mended sooner
        require(configured, plan.size, weights)
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
        )
        for name in dict.fromkeys(names)
        for repetition in range(repetitions)
    ]
