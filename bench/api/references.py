"""Reference sets of set metrics: add one, and choose the one for a test set."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.api.testsets import prepared_testsets
from bench.core.config import Workspace
from bench.core.errors import BenchError, WrongUsage
from bench.core.names import invalid_filename_reason
from bench.images import Pixels, decode, resize_bicubic
from bench.metrics.scoring.devices import find_devices
from bench.metrics.set_distances import extractors
from bench.metrics.sets.add_reference import WantedReference, compute, import_statistics
from bench.metrics.sets.reference_set import (
    ReferenceSet,
    find_or_missing,
    find_reference,
    references,
)
from bench.testsets.manifest import TestSet, open_testset
from bench.testsets.recipe import find_recipe, recipe_files
from bench.testsets.sources import open_source

ORIGINALS = "originals"
"""Name of the test set's own HR images, for `--reference`."""

_STATISTICS = {".npz", ".pth"}


def add_reference(
    here: Workspace,
    name: str,
    source: str,
    *,
    labels: Sequence[str] = (),
    size: int | None = None,
    keep_features: bool = False,
    images: int | None = None,
    device: str = "auto",
) -> ReferenceSet:
    """Create a reference set for set metrics such as FID.

    Args:
        here: where test sets are looked for.
        name: for `--reference`.
        source: a prepared test set, whose HR images are taken, a folder or archive of images, or a
            statistics file (.npz or .pth).
        labels: extractor labels (default: all that can run here; "pytorch-fid" for a statistics
            file).
        size: pixels to resize images to (default: their own).
        keep_features: keep features too, which kernel distances need.
        images: how many a statistics file was made from, for people.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        BenchError: nothing usable at the source, or no extractor that can run.
    """
    if invalid_filename_reason(name) or name.startswith((".", "-")) or name == ORIGINALS:
        raise WrongUsage(f"{name!r} can't be a reference's name: use letters, digits and dashes.")
    path = Path(source)
    if path.suffix in _STATISTICS:
        label, *more = labels or ("pytorch-fid",)
        if more or keep_features or size:
            raise WrongUsage(
                "A statistics file has one extractor and no images: leave --size, "
                "--keep-features and further extractors out."
            )
        extractors((label,))
        if not path.is_file():
            raise BenchError(f"{source} does not exist.")
        return import_statistics(name, path, label, images)
    chosen = extractors(tuple(labels))
    usable = [extractor for extractor in chosen if extractor.unavailable() is None]
    if not usable or (labels and len(usable) < len(chosen)):
        raise BenchError(" ".join(filter(None, (e.unavailable() for e in chosen))))
    wanted = WantedReference(name, source, size, usable, keep_features, find_devices(device)[0])
    if source in prepared_testsets(here):
        testset = open_testset(here.testsets / source)
        if not testset.ground_truth:
            raise WrongUsage(f"{source} has no HR images: name a test set with ground truth.")
        return compute(wanted, list(testset.entries), lambda ids: _originals(testset, ids, size))
    opened = open_source(source)
    wanted = replace(wanted, source=str(path.resolve()) if path.exists() else source)

    def read(ids: set[str]) -> Iterator[tuple[str, bytes, Pixels]]:
        for photograph in opened.photographs(ids):
            pixels = _pixels(photograph.data, photograph.name, size)
            yield photograph.id, photograph.data, pixels

    return compute(wanted, opened.ids(None), read)


def _originals(
    testset: TestSet, ids: set[str], size: int | None
) -> Iterator[tuple[str, bytes, Pixels]]:
    for image, entry in testset.entries.items():
        if image in ids and entry.hr is not None:
            path = testset.folder / entry.hr
            data = path.read_bytes()
            yield image, data, _pixels(data, str(path), size)


def _pixels(data: bytes, name: str, size: int | None) -> Pixels:
    import numpy as np

    pixels = np.asarray(decode(data, name))
    return pixels if size is None else resize_bicubic(pixels, size)


def reference_of(here: Workspace, testset: TestSet, given: str | None) -> ReferenceSet | None:
    """Return the reference set for a test set; None means its own originals.

    The first of: `given`, bench.toml's `reference`, the recipe's `fid_reference`. A prepared test
    set or a path is added as a reference on first use.

    Raises:
        BenchError: `given` is neither a reference nor a source to make one from.
    """
    chosen = given or here.config.reference
    if chosen == ORIGINALS:
        if not testset.ground_truth:
            raise WrongUsage(f"{testset.name} has no originals: give another --reference.")
        return None
    if chosen is None:
        recipe = testset.manifest.plan.recipe
        if recipe not in recipe_files(here.datasets):
            return None
        name = find_recipe(recipe, here.datasets).fid_reference
        return None if name is None else find_or_missing(name)
    if chosen in references():
        return find_reference(chosen)
    if chosen in prepared_testsets(here):
        return add_reference(here, chosen, chosen, keep_features=True)
    if Path(chosen).exists():
        # VGG16 sees images at their own size, which must be that of the results.
        size = None if Path(chosen).suffix in _STATISTICS else testset.manifest.plan.size
        name = Path(chosen).resolve().name.split(".")[0] + (f"-{size}px" if size else "")
        if name in references():
            known = find_reference(name)
            if known.source == str(Path(chosen).resolve()):
                return known
            raise WrongUsage(
                f"There is a reference {name!r} already: name it, or add {chosen} under another "
                "name with `bench reference add`."
            )
        return add_reference(here, name, chosen, size=size, keep_features=Path(chosen).is_dir())
    return find_reference(chosen)
