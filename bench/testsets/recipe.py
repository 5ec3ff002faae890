"""Recipes of test sets, one TOML file per dataset in `datasets/`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.config import read_toml
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256, write_bytes
from bench.core.paths import HUB, resource
from bench.core.suggest import look_up
from bench.core.validation import Positive, build
from bench.testsets.degradation import DEGRADATIONS, RANGES, REAL
from bench.testsets.manifest import Manifest, NoiseUnit, Plan
from bench.testsets.sources import open_source

SMALLEST = 4
"""LR size in pixels below which `small_input_notes` warns."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the width and height."""


@dataclass(frozen=True)
class Recipe:
    """Recipe of a dataset: origin, licence, and framing of HR images.

    The first `count` images by name are used; `size` is the default HR size in pixels. `framing`
    maps a size to a crop box that gives images the framing of the prior for that size. `source` is
    the location of the images, if known: a path relative to the recipe, or a dataset on the hub.
    Without `ground_truth`, the images are inputs themselves. `fid_reference` names the reference
    set for set metrics, used instead of the originals.

    `names_sha256` is the hash of the image ids, one per line, and `files_sha256` the hash of lines
    with an id and the hash of its file. Both cover all `count` images.
    """

    title: str
    origin: str
    licence: str
    alignment: str
    selection: str
    size: Positive = 256
    count: Positive | None = None
    framing: Mapping[str, Box] = field(default_factory=dict)
    source: str | None = None
    ground_truth: bool = True
    fid_reference: str | None = None
    names_sha256: str | None = None
    files_sha256: str | None = None

    def box(self, size: int) -> Box:
        """Return the crop box for images of this size (default: the whole image)."""
        return self.framing.get(str(size), (0.0, 0.0, 1.0, 1.0))


def plan_testset(
    name: str,
    recipe: Recipe,
    scale: int | None = None,
    size: int | None = None,
    degradation: str | None = None,
    seed: int = 0,
    aligned: str | None = None,
    noise: float | None = None,
    noise_unit: NoiseUnit | None = None,
) -> Plan:
    """Plan a test set; `scale` and `noise` apply to bicubic (default: 8, none).

    Raises:
        WrongUsage: a degradation that is unknown or does not suit the recipe, a scale that does not
            divide the size or does not apply, an invalid size, or noise that lacks its unit, is
            out of range or does not apply.
    """
    size = recipe.size if size is None else size
    known = DEGRADATIONS if recipe.ground_truth else (REAL,)
    degradation = known[0] if degradation is None else degradation
    if degradation not in known:
        why = (
            "" if recipe.ground_truth else f", since {recipe.title} has no ground truth to degrade"
        )
        raise WrongUsage(
            f"There is no degradation {degradation!r} here{why}: choose {' or '.join(known)}."
        )
    if (noise is None) != (noise_unit is None):
        raise WrongUsage(
            "--noise needs its --noise-unit: signed (deviation for values in [-1, 1], as in DPS "
            "and DAPS) or unit (for values in [0, 1], as in DiffPIR)."
        )
    if noise is not None and (degradation != "bicubic" or not 0 < noise < 10):
        raise WrongUsage(
            "--noise must be a standard deviation above 0 and below 10, and needs "
            "--degradation bicubic."
        )
    if degradation == "bicubic":
        scale = 8 if scale is None else scale
        seed = 0 if noise is None else seed  # without noise no seed makes another test set
        if size < 1 or scale < 2 or size % scale:
            raise WrongUsage(
                f"Scale {scale} does not divide {size} px into whole pixels: "
                "choose a scale of at least 2 that divides the size, such as 4, 8 or 16."
            )
    elif scale is not None:
        raise WrongUsage(
            f"--scale applies to bicubic only: {degradation} inputs have the size of the results."
        )
    elif size < 1:
        raise WrongUsage(f"--size is {size}, but must be at least 1.")
    seed = 0 if degradation == REAL else seed
    box = recipe.box(size)
    ranges_for = RANGES[degradation].size if degradation in RANGES else None
    return Plan(
        name, size, scale or 1, degradation, seed, box, aligned, ranges_for, noise, noise_unit
    )


def recipe_files(own: Path) -> dict[str, Path]:
    """Return name -> file of every recipe: the project's, and those in the folder `own`."""
    folders = (own, resource("datasets"))
    return dict(sorted((path.stem, path) for f in folders for path in f.glob("*.toml")))


def find_recipe(name: str, own: Path) -> Recipe:
    """Return the recipe of this name, with its source resolved relative to its folder.

    Raises:
        BenchError: no such recipe (the message suggests close names), or a wrong file.
    """
    known = recipe_files(own)
    file = look_up(name, known, "There is no dataset", "`bench datasets` lists all.")
    recipe = build(Recipe, read_toml(file), str(file))
    for size, (left, top, right, bottom) in recipe.framing.items():
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise BenchError(f"{file}: framing.{size} is not a box inside the image.")
    if recipe.source and not recipe.source.startswith(HUB):
        recipe = replace(recipe, source=str(file.parent / recipe.source))
    return recipe


def add_recipe(name: str, source: Path, own: Path, size: int, licence: str) -> Path:
    """Write a recipe for a folder or archive of images, and return its file.

    Raises:
        BenchError: a name that is taken or can't be a file's, or nothing usable at `source`.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise WrongUsage(
            f"{name!r} can't be a recipe's name: use lowercase letters, digits and dashes."
        )
    if (taken := recipe_files(own).get(name)) is not None:
        raise WrongUsage(f"There is a recipe {name} already, {taken}: choose another name.")
    ids = open_source(str(source)).ids(None)
    fields: dict[str, str | int] = {
        "title": name,
        "origin": str(source.resolve()),
        "licence": licence,
        "alignment": "not stated",
        "selection": f"all {len(ids)} images of the source, by name",
        "size": size,
        "count": len(ids),
        "source": str(source.resolve()),
        "names_sha256": names_sha256(ids),
    }
    # A JSON text or number is a TOML one too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    file = own / f"{name}.toml"
    write_bytes(file, ("\n".join(lines) + "\n").encode())
    return file


def names_sha256(ids: list[str]) -> str:
    """Return the order-independent hash of image ids."""
    return sha256("".join(f"{image}\n" for image in sorted(ids)).encode())


def selection_notes(recipe: Recipe, manifest: Manifest, count: int | None = None) -> list[str]:
    """Return notes on how a test set's images differ from its recipe.

    `count` is the requested number; if given, fewer images than the recipe's are not noted.
    """
    entries = manifest.images
    taken = [*(entry.id for entry in entries), *manifest.without_face]
    notes = []
    if recipe.count and len(taken) < recipe.count and count is None:
        notes.append(f"{recipe.title} has {recipe.count} images, this test set {len(taken)}.")
    elif len(taken) == recipe.count:
        if recipe.names_sha256 not in (None, names_sha256(taken)):
            notes.append(f"The image names differ from {recipe.title}'s list.")
        lines = "".join(f"{entry.id} {entry.source_sha256}\n" for entry in entries)
        if recipe.files_sha256 not in (None, sha256(lines.encode())):
            notes.append(f"The files differ from the known release of {recipe.title}.")
    if manifest.without_face:
        names = ", ".join(manifest.without_face)
        notes.append(
            f"No face was found in {len(manifest.without_face)} images, which were skipped: {names}"
        )
    return notes


def small_input_notes(manifest: Manifest) -> list[str]:
    """Return notes on LR images that are too small to show a face."""
    size, images = manifest.plan.size, manifest.images
    sides = [
        entry.parameters.reduced(size) if entry.parameters else size // manifest.plan.scale
        for entry in images
    ]
    small = [side for side in sides if side < SMALLEST]
    if not small:
        return []
    note = (
        f"{len(small)} of the {len(images)} LR images hold fewer than {SMALLEST} x {SMALLEST} "
        f"pixels of information, the smallest {min(small)} x {min(small)}: choose a larger --size "
        "or a smaller --scale."
    )
    return [note]
