"""Create a reference set: features of all images of a source, in resumable parts."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.core.errors import BenchError
from bench.core.files import replacing, sha256, sha256_file, sha256_json, write_json
from bench.core.progress import progress
from bench.images import Pixels
from bench.metrics.features.extractor import Extractor
from bench.metrics.scoring.compute import halved
from bench.metrics.sets.distributions import Array, moments
from bench.metrics.sets.reference_set import (
    FILE_NAME,
    ReferenceSet,
    find_or_missing,
    read_statistics,
    references_folder,
)

_PART = 256
"""Images per part; a kill loses at most one part."""

Images = Iterable[tuple[str, bytes, Pixels]]
"""Id, file bytes, and pixels [H, W, 3]."""


@dataclass(frozen=True)
class WantedReference:
    """Description of a reference set to create.

    Attributes:
        name: for `--reference`.
        source: the path or name from which it can be opened again.
        size: pixels to resize images to; None to leave them as they are.
        extractors: what makes the features.
        keep_features: whether kernel distances are to work against it.
        device: where features are computed.
    """

    name: str
    source: str
    size: int | None
    extractors: Sequence[Extractor]
    keep_features: bool = False
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        return references_folder() / self.name


def compute(
    wanted: WantedReference, ids: Sequence[str], read: Callable[[set[str]], Images]
) -> ReferenceSet:
    """Compute and write a reference set, reusing parts of an interrupted call.

    Args:
        wanted: what to make.
        ids: ids of all images.
        read: yields the images with these ids, in any order.

    Raises:
        BenchError: an image can't be read, or an extractor is unavailable.
    """
    if len(ids) < 2:
        raise BenchError(f"{wanted.source} holds {len(ids)} images: a reference needs at least 2.")
    parts = _parts_folder(wanted, ids)
    done = {image for part in _parts(parts) for image in part["ids"].tolist()}
    with progress(f"Reference {wanted.name}", len(ids)) as advance:
        advance(len(done))
        remaining = iter(read(set(ids) - done))
        while chunk := list(islice(remaining, _PART)):
            number = len(list(parts.glob("*.npz")))
            _write_part(parts / f"{number:05}.npz", chunk, wanted)
            advance(len(chunk))
    hashes = {
        str(image): str(digest)
        for part in _parts(parts)
        for image, digest in zip(part["ids"], part["sha256"], strict=True)
    }
    made_by = {extractor.label: extractor.identity for extractor in wanted.extractors}
    reference = ReferenceSet(
        wanted.name,
        len(hashes),
        sha256("".join(f"{digest}\n" for digest in sorted(hashes.values())).encode()),
        wanted.source,
        wanted.size,
        made_by,
        wanted.folder,
    )
    if reference == (earlier := find_or_missing(wanted.name)):  # also with other extractors
        reference = replace(reference, made_by={**earlier.made_by, **made_by})
    for extractor in wanted.extractors:
        pieces = _Parts(parts, len(hashes))
        _write_statistics(reference.statistics(extractor), *moments(pieces, extractor.label))
        if wanted.keep_features:
            _write_features(reference.features(extractor), pieces, extractor.label)
        else:
            reference.features(extractor).unlink(missing_ok=True)
    _write(reference)
    shutil.rmtree(parts.parent)
    return reference


def import_statistics(name: str, file: Path, label: str, images: int | None) -> ReferenceSet:
    """Create a reference set from a statistics file of the extractor with this label.

    Raises:
        BenchError: the file can't be read.
    """
    mean, covariance = read_statistics(file)
    folder = references_folder() / name
    reference = ReferenceSet(
        name, images, sha256_file(file), str(file.resolve()), None, {label: ""}, folder
    )
    (folder / f"features-{label}.npy").unlink(missing_ok=True)  # kept for earlier images
    _write_statistics(folder / f"statistics-{label}.npz", mean, covariance)
    _write(reference)
    return reference


def _write(reference: ReferenceSet) -> None:
    """Write the description last, which marks the folder complete."""
    values = asdict(replace(reference, folder=Path()))
    write_json(reference.folder / FILE_NAME, {k: v for k, v in values.items() if k != "folder"})


def _parts_folder(wanted: WantedReference, ids: Sequence[str]) -> Path:
    """Return the folder of an unfinished reference with the same inputs."""
    made_of = sha256_json(
        [[e.identity for e in wanted.extractors], wanted.size, wanted.source, sorted(ids)]
    )
    folder = wanted.folder / ".parts" / made_of[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_part(
    path: Path, chunk: Sequence[tuple[str, bytes, Pixels]], wanted: WantedReference
) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "ids": np.array([image for image, _, _ in chunk]),
        "sha256": np.array([sha256(data) for _, data, _ in chunk]),
    }
    pictures = [pixels for _, _, pixels in chunk]
    for extractor in wanted.extractors:
        found = halved(partial(extractor.extract, device=wanted.device), pictures)
        arrays[extractor.label] = np.stack([features["pooled"] for features in found])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _parts(folder: Path) -> Iterator[Mapping[str, npt.NDArray[np.generic]]]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays


@dataclass(frozen=True)
class _Parts:
    folder: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def pieces(self, name: str) -> Iterator[Array]:
        for part in _parts(self.folder):
            yield np.asarray(part[name], np.float64)


def _write_statistics(path: Path, mean: Array, covariance: Array) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, mu=mean, sigma=covariance)


def _write_features(path: Path, parts: _Parts, label: str) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([part[label] for part in _parts(parts.folder)]))
