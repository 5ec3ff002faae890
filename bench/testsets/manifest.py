"""Manifest of a test set, with the hash of every file."""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import (
    SEAL,
    parse_json,
    read_json,
    sha256,
    sha256_file,
    sha256_json,
    write_sealed_json,
)
from bench.core.names import invalid_filename_reason, stays_below
from bench.core.validation import read_back
from bench.images import Measurement, Pixels, png_size, read_image
from bench.testsets.degradation import Parameters

NoiseUnit = Literal["signed", "unit"]

FORMAT = 1
FILE_NAME = "manifest.json"

_AT_ONCE = 256  # files that a thread hashes before it asks for more


@dataclass(frozen=True)
class Entry:
    """One image: HR and LR file, relative to the test set's folder, and its source.

    Real-world images have no HR file. `parameters` are those of a blind degradation. `measurement`
    is the noisy LR image before it was rounded and clipped to the 8 bits of `lr`.
    """

    id: str
    hr: str | None
    lr: str
    hr_sha256: str | None
    lr_sha256: str
    source: str
    source_sha256: str
    parameters: Parameters | None = None
    measurement: str | None = None
    measurement_sha256: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """Return name -> hash of the files."""
        named = {
            self.hr: self.hr_sha256,
            self.lr: self.lr_sha256,
            self.measurement: self.measurement_sha256,
        }
        return {name: sha for name, sha in named.items() if name is not None and sha is not None}


@dataclass(frozen=True)
class Plan:
    """Plan of a test set: everything that determines it except its sources.

    `scale` is 1 if inputs have the size of the results, as in all degradations but bicubic.
    `aligned` names the aligner, if bench aligned the photographs. `ranges_for` is the size in
    pixels for which the ranges of a blind degradation are stated; None if they were not scaled to
    `size`, as in test sets of earlier versions. `noise` is the standard deviation of the white
    noise added to LR images, for values in [-1, 1] if `noise_unit` is "signed" (DPS, DAPS), or in
    [0, 1] if it is "unit" (DiffPIR).
    """

    recipe: str
    size: int
    scale: int
    degradation: str
    seed: int
    crop: tuple[float, float, float, float]
    aligned: str | None = None
    ranges_for: int | None = None
    noise: float | None = None
    noise_unit: NoiseUnit | None = None

    @property
    def kind(self) -> str:
        """Return the scale or the degradation, such as "x8", "blind" or "real"."""
        return f"x{self.scale}" if self.degradation == "bicubic" else self.degradation

    @property
    def name(self) -> str:
        """Return the folder name, such as celeba-256-x16 or celeba-256-blind."""
        kind = self.kind
        if self.noise is not None:
            kind += f"-noise{self.noise:g}{'' if self.noise_unit == 'signed' else self.noise_unit}"
        return f"{self.recipe}-{self.size}-{kind}"

    @property
    def sigma(self) -> float:
        """Return the standard deviation of the LR noise on [-1, 1]; 0 without noise."""
        return (self.noise or 0.0) * (2 if self.noise_unit == "unit" else 1)


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json; `without_face` are images skipped because no face was found."""

    format: int
    plan: Plan
    licence: str
    images: tuple[Entry, ...]
    without_face: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Return the identity of the test set; results on equal ones are comparable."""
        return sha256_json([_stated(self.plan), [_stated(entry) for entry in self.images]])


@dataclass(frozen=True)
class TestSet:
    """A prepared test set."""

    __test__ = False  # pytest would take the name for a class of tests

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def ground_truth(self) -> bool:
        """Return True if there are HR images."""
        return all(entry.hr is not None for entry in self.manifest.images)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Return image id -> entry, in manifest order."""
        return {entry.id: entry for entry in self.manifest.images}

    def lr(self, image: str) -> Pixels:
        """Read the LR image [h, w, 3] of an id.

        Raises:
            BenchError: the file has changed since the test set was opened.
        """
        entry = self.entries[image]
        return read_image(self.folder / entry.lr, entry.lr_sha256)

    def measurement(self, image: str) -> Pixels | Measurement:
        """Read a method's input: the LR image, or float32 [h, w, 3] with noise.

        Apart from its noise, the latter is in [-1, 1].

        Raises:
            BenchError: the file has changed since the test set was opened.
        """
        entry = self.entries[image]
        if entry.measurement is None:
            return self.lr(image)
        path = self.folder / entry.measurement
        try:
            data = path.read_bytes()
            if sha256(data) != entry.measurement_sha256:
                raise BenchError(f"{path} has changed: prepare the test set again.")
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.float32)
        except (OSError, ValueError, EOFError) as error:
            raise BenchError(f"{path} can't be read ({error}).") from None

    def hr(self, image: str) -> Pixels:
        """Read the HR image [H, W, 3] of an id.

        Raises:
            BenchError: the test set has no ground truth, or it has changed.
        """
        entry = self.entries[image]
        if entry.hr is None:
            raise BenchError(
                f"{self.name} has no ground truth because its images are real-world images."
            )
        return read_image(self.folder / entry.hr, entry.hr_sha256)


def _stated(part: Plan | Entry) -> dict[str, Any]:
    """Return the fields that are not None: adding an optional field then keeps old hashes."""
    return {name: value for name, value in asdict(part).items() if value is not None}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, which marks the test set complete."""
    write_sealed_json(folder / FILE_NAME, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json.

    Raises:
        BenchError: the file is missing, damaged, of another format, or names files elsewhere.
    """
    file = folder / FILE_NAME
    manifest = _parsed(read_json(file, "a test set's manifest"), str(file))
    _check_names(folder, manifest)
    return manifest


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Parse the manifest of a test set whose images are elsewhere.

    Raises:
        BenchError: the manifest is damaged or of another format.
    """
    return _parsed(parse_json(data, where, "a test set's manifest"), where)


def _parsed(values: Any, where: str) -> Manifest:
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BenchError(
            f"{where} is not a manifest of format {FORMAT}: prepare the test set again."
        )
    values.pop(SEAL, None)
    manifest = read_back(Manifest, values, where)
    plan = manifest.plan
    if min(plan.size, plan.scale) < 1 or plan.size % plan.scale:
        raise BenchError(
            f"{where} says size {plan.size} and scale {plan.scale}, which is impossible: "
            "prepare the test set again."
        )
    return manifest


def _check_names(folder: Path, manifest: Manifest) -> None:
    """Check that ids and file names stay inside the folder.

    Raises:
        BenchError: a name leads outside.
    """
    file, root = folder / FILE_NAME, folder.resolve()
    resolved: dict[Path, Path] = {}
    for entry in manifest.images:
        for name in entry.files:
            if not stays_below(name) or not _resolve(root / name, resolved).is_relative_to(root):
                raise BenchError(
                    f"{file} names {name!r}, which lies outside its folder: do not use it."
                )
        if reason := invalid_filename_reason(entry.id):
            raise BenchError(f"{file} names {entry.id!r}, whose name {reason}: do not use it.")
    ids = [entry.id for entry in manifest.images]
    if not ids or len(set(ids)) < len(ids):
        what = "an image twice" if ids else "no image"
        raise BenchError(f"{file} has {what}: prepare the test set again.")


def _resolve(place: Path, parents: dict[Path, Path]) -> Path:
    """Return `place.resolve()`, resolving each folder once."""
    if place.name == ".." or place.is_symlink():
        return place.resolve()
    if place.parent not in parents:
        parents[place.parent] = place.parent.resolve()
    return parents[place.parent] / place.name


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """Return one line per file that is missing, changed or resized."""
    expected = {name: digest for entry in manifest.images for name, digest in entry.files.items()}
    size, small = manifest.plan.size, manifest.plan.size // manifest.plan.scale
    sides = {entry.lr: small for entry in manifest.images}
    arrays = {entry.measurement for entry in manifest.images}

    def check(name: str) -> str | None:
        file = folder / name
        if not file.is_file():
            return f"{file} is missing."
        if sha256_file(file) != expected[name]:
            return f"{file} has changed."
        if name in arrays:
            return None  # its hash is verified
        side = sides.get(name, size)
        return None if png_size(file) == (side, side) else f"{file} is not {side} x {side}."

    names = list(expected)
    pieces = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda piece: [line for name in piece if (line := check(name))], pieces)
        return [line for lines in found for line in lines]


def unlisted_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return one line per file in the folder that the manifest does not name."""
    named = {folder / name for entry in manifest.images for name in entry.files}
    there = {path for path in folder.rglob("*") if path.is_file()}
    return [
        f"{path} is not in the manifest." for path in sorted(there - named - {folder / FILE_NAME})
    ]


def open_testset(folder: Path) -> TestSet:
    """Open a test set after verifying all files.

    Raises:
        BenchError: the manifest is wrong, or a file is missing or changed.
    """
    manifest = read_manifest(folder)
    if found := differences(folder, manifest):
        more = f" (and {len(found) - 1} more files)" if len(found) > 1 else ""
        raise BenchError(
            f"{found[0]}{more} Test set {folder.name} has changed: "
            "remove its folder and prepare it again."
        )
    return TestSet(folder, manifest)
