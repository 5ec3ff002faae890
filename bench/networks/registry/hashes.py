"""Expected hashes of files, and files that deviate.

Without a published hash, the hash of the first file is stored next to it in sha256sum format, and
every later file must match it (trust on first use).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_file, write_bytes
from bench.core.paths import checkpoints
from bench.networks.registry.records import PublicCheckpoint, records

_EMBEDDED = Path(__file__).with_name("embedded.sha256")


def expected(record: PublicCheckpoint) -> str | None:
    """Return the expected hash: the published one, else that recorded at first use.

    Raises:
        BenchError: the note of the first use is damaged.
    """
    if record.sha256 is not None:
        return record.sha256
    note = first_use(record)
    return _read(note).get(record.file) if note.is_file() else None


def first_use(record: PublicCheckpoint) -> Path:
    """Return the path of the recorded first-use hash of a file."""
    return record.path.with_name(f"{record.file}.sha256")


def remember(record: PublicCheckpoint, digest: str) -> None:
    """Record the first-use hash of a file without a published one."""
    if expected(record) is None:
        write_bytes(first_use(record), f"{digest}  {record.file}\n".encode())


def changed_weights() -> tuple[int, list[str]]:
    """Verify the hashes of all embedded and cached checkpoints.

    Returns:
        The number of hashed files, and a sentence for each mismatch.
    """
    found = [*_embedded_differences(), *_public_differences()]
    hashed = [record for record in records().values() if record.path.is_file()]
    return len(hashed) + len(_read(_EMBEDDED)), found


def _embedded_differences() -> Iterator[str]:
    known = _read(_EMBEDDED)
    there = {path.name: path for path in checkpoints().glob("*.safetensors")}
    for name in sorted(known.keys() | there.keys()):
        if name not in there:
            yield f"{checkpoints() / name} is missing: install bench again."
        elif name not in known:
            yield f"{there[name]} is not an embedded checkpoint: remove it."
        elif (digest := sha256_file(there[name])) != known[name]:
            yield f"{there[name]} has the sha256 {digest}, not {known[name]}: install bench again."


def _public_differences() -> Iterator[str]:
    for record in records().values():
        if not (path := record.path).is_file():
            continue
        digest, wanted = sha256_file(path), expected(record)
        if wanted is None:
            yield f"{path} has no recorded hash: remove it and run `{record.remedy}`."
        elif digest != wanted:
            yield (
                f"{path} has the sha256 {digest}, not {wanted}: remove it and run "
                f"`{record.remedy}`."
            )


def _read(file: Path) -> dict[str, str]:
    """Parse lines of sha256sum into file name -> hash.

    Raises:
        BenchError: a line has another format.
    """
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line)
        if match is None:
            raise BenchError(f"{file} is damaged: it should hold lines of sha256sum.")
        found[match[2]] = match[1]
    return found
