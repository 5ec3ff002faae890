"""Helpers of the download tests: a file to fetch, and the check of a refusal."""

import hashlib
import random
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.networks.download.fetch import DownloadLimits, ExpectedFile, download

# Larger than every buffer, and no two parts are equal.
DATA = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
KNOWN = ExpectedFile(DIGEST, len(DATA))
QUICK = DownloadLimits(patience=0.3, tries=3, pause=0)


def part(target: Path) -> Path:
    return target.with_name(".net.pth.part")


def left(target: Path) -> set[str]:
    """Return the names in the folder, except the lock."""
    return {path.name for path in target.parent.iterdir()} - {".net.pth.lock"}


def refused(
    source: str | list[str], target: Path, message: str, wanted: ExpectedFile = KNOWN
) -> str:
    """Return the error of a download that must be refused and leave no file."""
    sources = [source] if isinstance(source, str) else source
    with pytest.raises(BenchError, match=message) as caught:
        download(sources, target, wanted, QUICK)
    assert not target.exists()
    return str(caught.value)
