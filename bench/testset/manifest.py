"""The manifest: what a test set on disk is made of, with the hash of every file."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import read_json, sha256_file, sha256_json, write_json
from bench.images import Pixels, read_image
from bench.typed import read_back

FORMAT = 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One image: its HR and LR file, relative to the test set's folder, and where it came from."""

    id: str
    hr: str
    lr: str
    hr_sha256: str
    lr_sha256: str
    source: str
    source_sha256: str


@dataclass(frozen=True)
class Plan:
    """What determines a test set, but for the bytes of its sources."""

    recipe: str
    size: int
    scale: int
    degradation: str
    seed: int
    crop: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        """The folder's name: celeba-256-x16, or celeba-256-x16-blind."""
        suffix = "" if self.degradation == "bicubic" else f"-{self.degradation}"
        return f"{self.recipe}-{self.size}-x{self.scale}{suffix}"


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json."""

    format: int
    plan: Plan
    licence: str
    images: tuple[Entry, ...]

    @property
    def sha256(self) -> str:
        """Identity of the test set: results on equal test sets can be compared."""
        return sha256_json([asdict(self.plan), [asdict(e) for e in self.images]])


@dataclass(frozen=True)
class TestSet:
    """A prepared test set in its folder."""

    __test__ = False  # pytest would take the name for a class of tests

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Image id -> entry, in the manifest's order."""
        return {entry.id: entry for entry in self.manifest.images}

    def lr(self, image: str) -> Pixels:
        """The LR picture [h, w, 3] of an image."""
        return read_image(self.folder / self.entries[image].lr)

    def hr(self, image: str) -> Pixels:
        """The HR picture [H, W, 3] of an image."""
        return read_image(self.folder / self.entries[image].hr)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; from then on the test set is complete."""
    write_json(folder / FILE_NAME, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json.

    Raises:
        BenchError: it is missing, damaged, of another format, or names files outside its folder.
    """
    file = folder / FILE_NAME
    values: Any = read_json(file, "a test set's manifest")
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BenchError(f"{file} is not a manifest of format {FORMAT}: prepare the set again.")
    manifest = read_back(Manifest, values, str(file))
    root = folder.resolve()
    for entry in manifest.images:
        for name in (entry.hr, entry.lr, entry.id):  # results are named by the id
            if not (root / name).resolve().is_relative_to(root):
                raise BenchError(f"{file} names {name}, which lies outside of its folder.")
    return manifest


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """What is not as the manifest says: a line for every missing or changed file."""
    expected = {
        name: digest
        for entry in manifest.images
        for name, digest in ((entry.hr, entry.hr_sha256), (entry.lr, entry.lr_sha256))
    }

    def check(name: str) -> str | None:
        file = folder / name
        if not file.is_file():
            return f"{file} is missing."
        return None if sha256_file(file) == expected[name] else f"{file} has changed."

    with ThreadPoolExecutor() as pool:
        return [line for line in pool.map(check, expected) if line]


def open_testset(folder: Path) -> TestSet:
    """Open a test set after verifying every file of it.

    Raises:
        BenchError: the manifest is wrong, or a file is missing or changed.
    """
    manifest = read_manifest(folder)
    if found := differences(folder, manifest):
        more = f" (and {len(found) - 1} more files)" if len(found) > 1 else ""
        raise BenchError(
            f"{found[0]}{more} The test set {folder.name} is not what was prepared: "
            "remove its folder and prepare it again."
        )
    return TestSet(folder, manifest)
