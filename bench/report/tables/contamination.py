"""Notes on networks that saw, or may have seen, a test set in training."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_cached, sha256_file
from bench.core.paths import checkpoints
from bench.networks.registry.hashes import expected
from bench.networks.registry.records import PublicCheckpoint, records
from bench.report.tables.table import Row
from bench.store.run import Run

EMBEDDED: Mapping[str, str] = {
    "celeba": "trained on 20,941 faces of CelebA, which share people with this test set"
}
"""Recipe -> overlap with the training data of the embedded networks."""


def known_as(sha256: str) -> str:
    """Return the name of an embedded or public checkpoint by hash, else the hash."""
    if embedded := _embedded(checkpoints()).get(sha256):
        return f"the embedded {embedded}"
    record = _public(sha256)
    return record.name if record else f"sha256 {sha256[:8]}"


def contamination_notes(rows: Sequence[Row], runs: Sequence[Run], recipe: str) -> Iterator[str]:
    """Yield a sentence per network that saw, or may have seen, images of this recipe.

    `runs` are the first repetitions of the rows. For a network that the user trained, the dataset
    is known if its card states it and the file is still where the run found it.
    """
    users: dict[tuple[str, str], list[str]] = {}
    for row, run in zip(rows, runs, strict=True):
        files = run.weights_files
        for kind, sha256 in run.spec.weights.items():
            if statement := _trained_on(sha256, files.get(kind)).get(recipe):
                users.setdefault((known_as(sha256), statement), []).append(row.title)
    for (network, statement), titles in users.items():
        methods = ", ".join(dict.fromkeys(titles))
        yield f"{methods}: {network} was {statement}."


def _trained_on(sha256: str, file: Path | None) -> Mapping[str, str]:
    if sha256 in _embedded(checkpoints()):
        return EMBEDDED
    if record := _public(sha256):
        return record.trained_on
    if file is None or not file.is_file() or sha256_cached(file) != sha256:
        return {}
    dataset = _dataset_of(file)
    return {dataset: f"trained on {dataset}, as its card states"} if dataset else {}


def _dataset_of(file: Path) -> str | None:
    """Return the recipe of the images that a network was trained on, if its card states it."""
    from bench.networks.checkpoints import read_card

    try:
        training = read_card(file).training or {}
    except BenchError:  # published elsewhere, without a card
        return None
    return str(training["dataset"]) if "dataset" in training else None


def _public(sha256: str) -> PublicCheckpoint | None:
    """Return the record of a public checkpoint."""
    return next((record for record in records().values() if expected(record) == sha256), None)


@cache
def _embedded(folder: Path) -> dict[str, str]:
    """Return hash -> name of the embedded networks."""
    return {sha256_file(file): file.stem for file in sorted(folder.glob("*.safetensors"))}
