"""Preparation: from a folder of images to a test set, in parallel, whole or not at all.

The manifest is written last; until then a journal remembers what is done, so that a preparation
that was stopped is taken up again.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from bench.errors import BenchError, WrongUsage
from bench.files import Journal, sha256, sha256_file, sha256_json, write_bytes
from bench.images import IMAGE_SUFFIXES, Pixels, decode, encode_png
from bench.progress import track
from bench.testset.degradation import DEGRADATIONS
from bench.testset.manifest import (
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
from bench.testset.recipe import Box, Recipe
from bench.typed import read_back


def plan_testset(
    name: str, recipe: Recipe, scale: int, size: int | None, degradation: str, seed: int
) -> Plan:
    """What to build.

    Raises:
        BenchError: an unknown degradation, or a scale that does not divide the size.
    """
    size = recipe.size if size is None else size
    if size < 1 or scale < 2 or size % scale:
        raise WrongUsage(
            f"Scale {scale} does not divide {size} px into an image of its own: "
            "choose a scale of at least 2 that divides the size, such as 4, 8 or 16."
        )
    if degradation not in DEGRADATIONS:
        raise WrongUsage(
            f"There is no degradation {degradation!r}: choose {' or '.join(DEGRADATIONS)}."
        )
    if degradation == "bicubic":
        seed = 0  # it draws nothing, so no seed makes another test set
    return Plan(name, size, scale, degradation, seed, recipe.box(size))


def prepare(
    plan: Plan, recipe: Recipe, source: Path, count: int | None, folder: Path
) -> tuple[TestSet, bool]:
    """Build the test set, or take up or confirm the one that is there.

    Returns the test set and whether it was there already.

    Raises:
        BenchError: nothing usable in `source`, a file that is no image or too small, or another
            test set in `folder`.
    """
    if count is not None and count < 1:
        raise WrongUsage(f"--count is {count}, but must be at least 1.")
    files = list_images(source)
    wanted = count or recipe.count or len(files)
    if count is not None and len(files) < count:
        raise BenchError(f"{source} holds {len(files)} images, but {count} are asked for.")
    selected = dict(list(files.items())[:wanted])
    if (folder / FILE_NAME).exists():
        existing = read_manifest(folder)
        if existing.plan != plan or not _same_sources(existing, selected):
            raise BenchError(
                f"{folder} holds a test set made from other images or settings: "
                "remove it, or give this one another name with --name."
            )
        return open_testset(folder), True

    journal = Journal(folder / ".progress.jsonl")
    plan_sha256 = sha256_json(asdict(plan))
    done = {
        record["entry"]["id"]: read_back(Entry, record["entry"], str(journal.path))
        for record in journal.read()
        if record.get("plan") == plan_sha256  # another plan's pictures are no use to this one
    }

    def build(item: tuple[str, Path]) -> Entry:
        return _build_image(*item, plan=plan, folder=folder, done=done)

    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for entry in track(pool.map(build, selected.items()), "preparing", total=len(selected)):
            entries.append(entry)
            journal.append([{"plan": plan_sha256, "entry": asdict(entry)}])
    manifest = Manifest(FORMAT, plan, recipe.licence, tuple(entries))
    write_manifest(folder, manifest)
    journal.remove()
    return TestSet(folder, manifest), False


def list_images(source: Path) -> dict[str, Path]:
    """Image id -> file for every image of a folder, nested ones too, in the order of names.

    The id is the path without its suffix, folders joined by two underscores. Hidden files are
    left out.

    Raises:
        BenchError: no such folder, no images in it, or two files that would share an id.
    """
    if not source.is_dir():
        raise BenchError(f"{source} is not a folder: give --source a folder of images.")
    images: dict[str, Path] = {}
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        name = "__".join(relative.with_suffix("").parts)
        if name in images:
            raise BenchError(f"{images[name]} and {path} would share a name: rename one of them.")
        images[name] = path
    if not images:
        raise BenchError(f"{source} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return images


def high_resolution(image: Image.Image, size: int, crop: Box, name: str) -> Pixels:
    """Crop by fractions, then to the central square, then reduce to [size, size, 3].

    Reduction is PIL's bicubic filter. Nothing is ever enlarged.

    Raises:
        BenchError: the crop is smaller than `size`; `name` says of which image.
    """
    left, top, right, bottom = (
        fraction * extent
        for fraction, extent in zip(crop, (image.width, image.height) * 2, strict=True)
    )
    side = min(right - left, bottom - top)
    if round(side, 6) < size:  # 0.64 of 300 px is a trifle less than 192 px in floating point
        raise BenchError(
            f"{name} has {int(side)} px of use in an image of {image.width} x {image.height}, "
            f"less than the {size} px of the test set: remove it, or give a smaller --size."
        )
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    box = (x, y, x + side, y + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))


def _build_image(
    image_id: str, source: Path, plan: Plan, folder: Path, done: dict[str, Entry]
) -> Entry:
    data = source.read_bytes()
    if (entry := done.get(image_id)) and entry.source_sha256 == sha256(data):
        files_then = {folder / entry.hr: entry.hr_sha256, folder / entry.lr: entry.lr_sha256}
        if all(p.is_file() and sha256_file(p) == digest for p, digest in files_then.items()):
            return entry
    hr = high_resolution(decode(data, str(source)), plan.size, plan.crop, str(source))
    lr = DEGRADATIONS[plan.degradation](hr, plan.scale)
    files = {f"hr/{image_id}.png": encode_png(hr), f"lr/{image_id}.png": encode_png(lr)}
    for name, png in files.items():
        write_bytes(folder / name, png)
    hr_sha256, lr_sha256 = map(sha256, files.values())
    hr_name, lr_name = files
    return Entry(image_id, hr_name, lr_name, hr_sha256, lr_sha256, source.name, sha256(data))


def _same_sources(manifest: Manifest, selected: dict[str, Path]) -> bool:
    there = {entry.id: entry.source_sha256 for entry in manifest.images}
    return there.keys() == selected.keys() and all(
        sha256(path.read_bytes()) == there[image] for image, path in selected.items()
    )
