"""What the tests of downloads share: a file to fetch, and how a refusal looks."""

import hashlib
import random
from pathlib import Path

import pytest

from bench.download.fetch import Limits, Wanted, download
from bench.errors import BenchError

# Larger than every buffer on the way, and no part equals another.
DATA = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
KNOWN = Wanted(DIGEST, len(DATA))
QUICK = Limits(patience=0.3, tries=3, pause=0)


def part(target: Path) -> Path:
    return target.with_name(".net.pth.part")


def left(target: Path) -> set[str]:
    """Names in the folder, but for the lock."""
    return {path.name for path in target.parent.iterdir()} - {".net.pth.lock"}


def refused(source: str | list[str], target: Path, message: str, wanted: Wanted = KNOWN) -> str:
    """Download what must be refused; the whole sentence. Nothing may bear the file's name."""
    sources = [source] if isinstance(source, str) else source
    with pytest.raises(BenchError, match=message) as caught:
        download(sources, target, wanted, QUICK)
    assert not target.exists()
    return str(caught.value)
