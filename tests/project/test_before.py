"""Results and an archive of an earlier version still open, with the same numbers and identities."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.files import sha256_file
from tests.command import good

BEFORE = Path(__file__).parents[1] / "data" / "before"

WORDS = {"departures", "reason"}
"""Columns of sentences, which may be worded anew; all others are names and numbers."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the earlier version's workspace, made the current folder."""
    shutil.copytree(BEFORE, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def rows(text: str) -> list[dict[str, str]]:
    table = csv.DictReader(io.StringIO(text))
    return [{key: cell for key, cell in row.items() if key not in WORDS} for row in table]


def test_the_report_has_the_same_numbers(home: Path) -> None:
    expected = rows((home / "report.csv").read_text())
    assert len(expected) == 4
    assert rows(good("report", "--csv").out) == expected


def test_running_and_evaluating_again_change_nothing(home: Path) -> None:
    before = hashes(home)
    out = good("run").out
    good("evaluate")
    assert "images restored" not in out
    assert hashes(home) == before


def test_a_new_run_has_the_same_identity_and_pictures(home: Path) -> None:
    old = home / "results"
    old.rename(home / "old")
    good("run")
    names = {path.relative_to(old).as_posix() for path in old.rglob("*.png")}
    assert names == {
        path.relative_to(home / "old").as_posix() for path in (home / "old").rglob("*.png")
    }
    for name in names:
        now, then = (np.asarray(Image.open(folder / name), int) for folder in (old, home / "old"))
        # Another processor adds up in another order, which can change the rounding to 8 bits.
        assert abs(now - then).max() <= 1, name


def test_the_archive_is_verified(home: Path) -> None:
    good("verify", "faces.tar")


def test_the_archive_compares_as_equal_to_the_results(home: Path) -> None:
    (run,) = (home / "results").glob("*/ddnm-*")
    out = good("compare", run, "faces.tar:ddnm").out
    assert "0.1073" in out
