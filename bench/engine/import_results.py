"""Import results made elsewhere as a run on a test set.

A pattern such as "restored_faces/{image}_00" is a path without its suffix, in which {image} stands
for the image's id.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file, sha256_json
from bench.core.progress import track
from bench.engine.run import Finished
from bench.methods import check_new_name
from bench.methods.external.delivery import Delivery, Filter, inspect, read_delivered
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from bench.testsets.photographs import identified

IMAGE = "{image}"

ORIGIN = "imported"
"""Provenance key of imported results; its value is their folder."""


@dataclass(frozen=True)
class Import:
    """Options of an import.

    Attributes:
        pattern: path of each file without its suffix, "{image}" for the id.
        resize: filter for results of another size.
        partial: allow missing images.
        ignore_extra: ignore files of no image.
    """

    pattern: str = IMAGE
    resize: Filter | None = None
    partial: bool = False
    ignore_extra: bool = False


def import_pictures(
    name: str, title: str, folder: Path, testset: TestSet, results: Path, how: Import
) -> Finished:
    """Import a folder of results on a test set as a run, completely or not at all.

    The run's identity is the hash of the files and the filter that resized them; seconds and NFE
    are unknown.

    Raises:
        BenchError: the name is a method's or can't be one; an image has another size or mode,
            belongs to no image of the test set, or is missing; names the option that allows it.
    """
    check_new_name(name)
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder: give one with the results as image files.")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    by_name = identified(names, str(folder))
    matched = match_files(how.pattern, by_name.values())
    files = {image: folder / file for image, file in matched.items() if image in testset.entries}
    images, size = list(testset.entries), testset.manifest.plan.size
    used = {matched[image] for image in files}
    extra = [] if how.ignore_extra else [file for file in by_name.values() if file not in used]
    delivery = inspect(track(images, "checking", len(images)), files, extra, size, how.resize)
    allowed = how.partial and not delivery.wrong and not delivery.extra
    if str(delivery) and not allowed:
        hint = _hint(how, delivery, images, by_name)
        raise BenchError(f"Nothing was imported from {folder}. {delivery}{hint}")
    wanted = {image: files[image] for image in images if image in files}
    if not wanted:
        raise BenchError(f"{folder} has no result for any image of {testset.name}.")
    spec = RunSpec(
        method=name,
        revision=1,
        settings={"resize": how.resize} if how.resize else {},
        testset=testset.manifest.sha256,
        weights={"files": sha256_json({i: sha256_file(path) for i, path in wanted.items()})},
        seed=0,
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"started": started, ORIGIN: str(folder.resolve())}
    with Run.of(results, testset.name, spec).exclusive():
        run = Run.open(results, testset.name, title, spec, facts)
        return Finished(run, _write(run, wanted, images, size, how.resize))


def _hint(
    how: Import, delivery: Delivery, images: Sequence[str], by_name: Mapping[str, str]
) -> str:
    """Propose options that would import the folder."""
    pattern = guess_pattern(images, by_name)
    if len(delivery.missing) == len(images) and pattern and how.pattern == IMAGE:
        rest = len(match_files(pattern, by_name.values())) < len(by_name)
        ignore = " --ignore-extra" if rest and not how.ignore_extra else ""
        return f" Their names are of the form {pattern!r}: add --pattern '{pattern}'{ignore}."
    options = []
    if delivery.extra:
        options.append("--ignore-extra")
    if delivery.missing and not how.partial:
        options.append("--partial")
    if any(re.fullmatch(r"(\d+) x \1, not .*", reason) for reason in delivery.wrong.values()):
        options.append("--resize lanczos")
    if not options or len(delivery.missing) == len(images):
        return ""
    if options == ["--partial"]:
        return " --partial imports the others."
    return f" To accept that, add {' '.join(options)}."


def _write(
    run: Run, wanted: Mapping[str, Path], images: Sequence[str], size: int, resize: Filter | None
) -> int:
    """Write missing images and return their number."""
    pending = [image for image in wanted if image not in run.records()]
    if pending and run.finished:
        run.reopen()
    for image in track(pending, "importing", len(pending)):
        run.write({image: read_delivered(wanted[image], size, resize)}, None, None)
    if pending or not run.finished:
        run.finish(images, {})
    return len(pending)


def imported_names(results: Path) -> list[str]:
    """Return the names of imported results on any test set.

    Raises:
        BenchError: a run's description is damaged.
    """
    runs = [Run(path.parent) for path in results.glob("*/*/run.json")]
    return sorted({run.spec.method for run in runs if ORIGIN in run.description["provenance"]})


def match_files(pattern: str, files: Iterable[str]) -> dict[str, str]:
    """Return image id -> file for the files that the pattern matches.

    Raises:
        WrongUsage: the pattern does not have {image} once, or two files are of one image.
    """
    if pattern.count(IMAGE) != 1:
        raise WrongUsage(
            f"--pattern {pattern!r} must contain {IMAGE} exactly once, such as '{IMAGE}_00'."
        )
    before, after = map(re.escape, pattern.split(IMAGE))
    form = re.compile(f"{before}(.+){after}", re.DOTALL)
    found: dict[str, str] = {}
    for file in files:
        if (matched := form.fullmatch(_stem(file))) is None:
            continue
        image = normalize("NFC", matched[1].replace("/", "__"))
        if image in found:
            raise WrongUsage(
                f"{found[image]} and {file} both match image {image} in the pattern {pattern!r}: "
                "remove one of them."
            )
        found[image] = file
    return found


def guess_pattern(images: Sequence[str], files: Mapping[str, str]) -> str | None:
    """Return the pattern, other than {image}, that matches most images; None if none matches.

    `files` maps ids made from the file names to files. In a tie, the pattern found first wins.
    """
    counts: Counter[str] = Counter()
    known = sorted(images, key=len, reverse=True)  # 10 before 1
    for file in files.values():
        stem = _stem(file)
        image = next((image for image in known if image in stem), None)
        if image is not None:
            before, _, after = stem.rpartition(image)
            counts[f"{before}{IMAGE}{after}"] += 1
    del counts[IMAGE]
    return max(counts, key=counts.__getitem__, default=None)


def _stem(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))
