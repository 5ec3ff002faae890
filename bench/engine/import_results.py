"""Importing results that were made elsewhere: matched against the test set, kept as a run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_file, sha256_json
from bench.core.progress import track
from bench.engine.run import Finished
from bench.methods import check_new_name
from bench.methods.external.delivery import inspect, read_delivered
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from bench.testsets.photographs import identified

ORIGIN = "imported"
"""The entry of a run's provenance that says so, with the folder that the pictures were in."""


def import_pictures(
    name: str, title: str, folder: Path, testset: TestSet, results: Path, *, partial: bool
) -> Finished:
    """Keep a folder of results on a test set as a run, all of them or none.

    A picture belongs to the image whose id is its name without the suffix. The run's identity is
    the hash of the files; seconds and NFE are not known.

    Raises:
        BenchError: the name is a method's or can't be one; a picture is of another size or mode,
            belongs to no image, or is missing and `partial` does not allow it.
    """
    check_new_name(name)
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder: give one with the results as image files.")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    files = {image: folder / name for image, name in identified(names, str(folder)).items()}
    images = list(testset.entries)
    extra = [
        str(path.relative_to(folder))
        for image, path in files.items()
        if image not in testset.entries
    ]
    size = testset.manifest.plan.size
    delivery = inspect(track(images, "checking", len(images)), files, extra, size)
    if str(delivery) and not (partial and not delivery.wrong and not delivery.extra):
        hint = "" if delivery.wrong or delivery.extra else " --partial imports the others."
        raise BenchError(f"Nothing was imported from {folder}. {delivery}{hint}")
    wanted = {image: files[image] for image in images if image in files}
    if not wanted:
        raise BenchError(f"{folder} has no picture of an image of {testset.name}.")
    spec = RunSpec(
        method=name,
        revision=1,
        settings={},
        testset=testset.manifest.sha256,
        weights={"files": sha256_json({i: sha256_file(path) for i, path in wanted.items()})},
        seed=0,
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"started": started, ORIGIN: str(folder.resolve())}
    with Run.of(results, testset.name, spec).alone():
        run = Run.open(results, testset.name, title, spec, facts)
        return Finished(run, _write(run, wanted, images, size))


def _write(run: Run, wanted: Mapping[str, Path], images: Sequence[str], size: int) -> int:
    """Write what the run lacks; how many pictures these are."""
    pending = [image for image in wanted if image not in run.records()]
    if pending and run.finished:
        run.reopen()
    for image in track(pending, "importing", len(pending)):
        run.write({image: read_delivered(wanted[image], size)}, None, None)
    if pending or not run.finished:
        run.finish(images, {})
    return len(pending)


def imported_names(results: Path) -> list[str]:
    """Names under which results were imported, on any test set.

    Raises:
        BenchError: a run's description is damaged.
    """
    runs = [Run(path.parent) for path in results.glob("*/*/run.json")]
    return sorted({run.spec.method for run in runs if ORIGIN in run.description["provenance"]})
