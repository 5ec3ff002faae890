"""Prepare test sets from a source of photographs, in parallel and atomically.

Plans that differ only in scale are built together: each photograph is read, decoded and cropped
once. The manifest is written last; until then a journal records finished images, so that an
interrupted preparation resumes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.core.concurrency import OrderedMap, parallel_map, processors
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import (
    Journal,
    begun,
    require_space,
    sha256,
    sha256_file,
    sha256_json,
    write_bytes,
)
from bench.core.locks import locked
from bench.core.progress import Advance, notice, progress
from bench.core.validation import read_back
from bench.testsets.build import Built, Job, build_images
from bench.testsets.degradation import RANGES, Parameters, draw_parameters
from bench.testsets.manifest import (
    FILE_NAME,
    FORMAT,
    Entry,
    Manifest,
    Plan,
    TestSet,
    open_testset,
    read_manifest,
    write_manifest,
)
from bench.testsets.photographs import Photograph, Source
from bench.testsets.recipe import Recipe

IMAGES_PER_PROCESS = 128
"""Images per process that justify starting it."""

FLUSH_EVERY = 16
"""Images between journal writes; a kill repeats at most this many."""


PROGRESS = ".progress.jsonl"
"""Journal of an unfinished preparation."""


@dataclass(frozen=True)
class Prepared:
    """A test set, and True if it existed before."""

    testset: TestSet
    was_there: bool


class _Work:
    """An unfinished test set: done images and target folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.key = sha256_json(asdict(plan))
        self.journal = Journal(folder / PROGRESS)
        self._lines: list[dict[str, Any]] = []
        self.done: dict[str, Entry] = {
            record["entry"]["id"]: read_back(Entry, record["entry"], str(self.journal.path))
            for record in self.journal.read()
            if record.get("plan") == self.key  # another plan's pictures can't be reused
        }

    def has(self, photograph: Photograph) -> bool:
        """Return True if this photograph's images are intact."""
        entry = self.done.get(photograph.id)
        return (
            entry is not None
            and entry.source_sha256 == sha256(photograph.data)
            and all(
                (self.folder / name).is_file() and sha256_file(self.folder / name) == digest
                for name, digest in entry.files.items()
            )
        )

    def keep(self, entry: Entry, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            write_bytes(self.folder / name, data)
        self.done[entry.id] = entry
        self._lines.append({"plan": self.key, "entry": asdict(entry)})
        if len(self._lines) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            self.journal.append(self._lines)
        self._lines = []

    def finish(self, ids: Sequence[str], licence: str, without_face: Sequence[str]) -> TestSet:
        entries = tuple(self.done[image] for image in ids if image not in without_face)
        manifest = Manifest(FORMAT, self.plan, licence, entries, tuple(without_face))
        self._remove_others({name for entry in entries for name in entry.files})
        write_manifest(self.folder, manifest)
        self.journal.remove()
        return TestSet(self.folder, manifest)

    def _remove_others(self, named: set[str]) -> None:
        """Remove images of an unfinished preparation with another selection."""
        for part, files in (("hr", "*.png"), ("lr", "*.png"), ("measured", "*.npy")):
            for path in (self.folder / part).rglob(files):
                if path.relative_to(self.folder).as_posix() not in named:
                    path.unlink()


def prepare(
    targets: Mapping[Path, Plan],
    recipe: Recipe,
    source: Source,
    count: int | None,
    workers: int | None = None,
    spread: OrderedMap | None = None,
) -> list[Prepared]:
    """Build, resume or verify test sets: folder -> plan.

    The plans differ only in scale. `workers` is the number of processes (default: one per
    processor, fewer for few images). `spread`, if given, does the work instead of them.

    Raises:
        BenchError: no usable images in the source, a file that is not an image or too small,
            another test set in a folder, or too little disk space.
    """
    if count is not None and count < 1:
        raise WrongUsage(f"--count is {count}, but must be at least 1.")
    wanted = count or recipe.count
    ids = source.ids(wanted)[:wanted]
    if count is not None and len(ids) < count:
        raise BenchError(f"{source} holds {len(ids)} images, but --count is {count}.")
    with ExitStack() as stack:
        for folder in sorted(targets):  # in a fixed order, or two processes could deadlock
            stack.enter_context(begun(folder))
            stack.enter_context(locked(folder, notice))
        there = {f: read_manifest(f) for f in targets if (f / FILE_NAME).exists()}
        _confirm(there, targets, source, ids)
        for folder in there:
            Journal(folder / PROGRESS).remove()  # a kill after the manifest was written leaves it
        missing = [_Work(plan, folder) for folder, plan in targets.items() if folder not in there]
        made = {}
        if missing:
            made = _build_all(missing, source, ids, recipe.licence, workers, spread)
        return [
            Prepared(open_testset(folder), True)
            if folder in there
            else Prepared(made[folder], False)
            for folder in targets
        ]


def _build_all(
    works: list[_Work],
    source: Source,
    ids: list[str],
    licence: str,
    workers: int | None,
    spread: OrderedMap | None,
) -> dict[Path, TestSet]:
    without_face: set[str] = set()
    remaining = sum(any(image not in work.done for work in works) for image in ids)
    # Upper bound: a PNG of noise.
    pixels = sum(plan.size**2 + (plan.size // plan.scale) ** 2 for plan in (w.plan for w in works))
    noisy = sum(12 * (w.plan.size // w.plan.scale) ** 2 for w in works if w.plan.noise is not None)
    require_space(works[0].folder, remaining * (3 * pixels + noisy + 2048 * len(works)))
    with progress("preparing", len(ids)) as advance:
        jobs = _jobs(works, source, set(ids), advance)
        workers = workers or min(processors(), 1 + remaining // IMAGES_PER_PROCESS)
        spread = spread or partial(parallel_map, workers=workers)
        try:
            for built in spread(build_images, jobs):
                _keep(works, built)
                if not built.entries:
                    without_face.add(built.id)
                advance()
        finally:
            for work in works:
                work.flush()
    if len(without_face) == len(ids):
        raise BenchError("No face was found in any of the images: leave --align out.")
    absent = [image for image in ids if image in without_face]
    return {work.folder: work.finish(ids, licence, absent) for work in works}


def _jobs(works: list[_Work], source: Source, wanted: set[str], advance: Advance) -> Iterator[Job]:
    plans = [work.plan for work in works]
    for photograph in source.photographs(wanted):
        if all(work.has(photograph) for work in works):
            advance()
        else:
            yield Job(photograph, plans, _parameters(plans[0], photograph.id))


def _keep(works: list[_Work], built: Built) -> None:
    for work, entry, files in zip(works, built.entries, built.files, strict=False):  # none: no face
        work.keep(entry, files)


def _parameters(plan: Plan, image: str) -> Parameters | None:
    """Draw the parameters of a blind degradation, keyed by (seed, degradation, image)."""
    if plan.degradation not in RANGES:
        return None
    from bench.diffusion.noise import StreamKey  # brings torch, which bicubic has no use for

    # An image's id has no slash, so this is no stream that a sampler draws from.
    key = StreamKey(plan.seed, f"{plan.degradation}/{image}")
    return draw_parameters(RANGES[plan.degradation], key.generator(), plan.size)


def _confirm(
    there: Mapping[Path, Manifest], targets: Mapping[Path, Plan], source: Source, ids: list[str]
) -> None:
    """Check that existing test sets match the request."""
    if not there:
        return
    sources = {p.id: sha256(p.data) for p in source.photographs(set(ids))}
    for folder, manifest in there.items():
        made_of = {entry.id: entry.source_sha256 for entry in manifest.images}
        faceless = set(manifest.without_face)
        expected = {image: digest for image, digest in sources.items() if image not in faceless}
        if manifest.plan != targets[folder] or made_of != expected or not faceless <= set(ids):
            raise BenchError(
                f"{folder} holds a test set made from other images or settings: "
                "remove it, or give this one another name with --name."
            )
