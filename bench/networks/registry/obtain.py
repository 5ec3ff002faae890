"""Bring public checkpoints into the cache folder."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import Journal, replacing, sha256_file
from bench.core.paths import cache_folder, cache_unusable
from bench.networks.download.fetch import ExpectedFile, download, is_web_page
from bench.networks.registry.hashes import expected, first_use, remember
from bench.networks.registry.records import PublicCheckpoint, find_record


def get_weights(name: str) -> Path:
    """Download a checkpoint unless it is intact; see `bench.networks.download.fetch`.

    Raises:
        BenchError: an unknown name, no direct download, a licence that was not accepted, or a
            failed download.
    """
    record = find_record(name)
    if not record.sources:
        raise BenchError(
            f"{record.file} has no direct download: get it from {record.by_hand} and run "
            f"`bench weights add {name} FILE`."
        )
    if not accepted(record):
        raise BenchError(
            f"{record.file} is under a licence that you have not accepted yet ({record.licence}): "
            f"run `bench weights get {name}`."
        )
    if reason := cache_unusable():
        raise BenchError(reason)
    wanted = expected(record)
    try:
        digest = download(record.sources, record.path, ExpectedFile(wanted, record.size))
    except BenchError as error:
        ways_out = []
        if wanted != record.sha256 and str(wanted) in str(error):
            ways_out.append(
                "Its hash was recorded at the first download; to accept another file, remove "
                f"{first_use(record)}."
            )
        if record.by_hand:
            ways_out.append(
                f"Or download it manually from {record.by_hand} and run "
                f"`bench weights add {name} FILE`."
            )
        raise BenchError(" ".join([str(error), *ways_out])) from None
    remember(record, digest)
    return record.path


def add_weights(name: str, file: Path) -> Path:
    """Copy a manually downloaded checkpoint into the cache.

    Raises:
        BenchError: an unknown name, no such file, or another file's hash.
    """
    record = find_record(name)
    if not file.is_file():
        raise BenchError(f"There is no file {file}.")
    digest, wanted = sha256_file(file), expected(record)
    if wanted not in (None, digest):
        raise BenchError(f"{file} is not {record.file}: its sha256 is {digest}, not {wanted}.")
    if is_web_page(file):
        raise BenchError(f"{file} is a web page, not {record.file}: download the file itself.")
    if reason := cache_unusable():
        raise BenchError(reason)
    with replacing(record.path) as temporary:
        shutil.copyfile(file, temporary)
    remember(record, digest)
    return record.path


def accepted(record: PublicCheckpoint) -> bool:
    """Return True if the licence needs no consent or was accepted, once for all its files."""
    given = [entry.get("licence") for entry in _consents().read()]
    return not record.non_commercial or record.licence in given


def accept(record: PublicCheckpoint) -> None:
    """Record the user's consent to a checkpoint's licence."""
    entry = {
        "licence": record.licence,
        "for": record.name,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    cache_folder().mkdir(parents=True, exist_ok=True)
    _consents().append([entry])


def _consents() -> Journal:
    return Journal(cache_folder() / "licences.jsonl")
