"""The same bytes: two processes, one machine, one number of threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.methods import find_method, method_names
from tools import determinism

ROOT = Path(__file__).parents[2]
METHODS = ("ddnm", "dpi", "ilvr")
CONFIG = """\
size = 64
metrics = ["psnr"]
[settings.ddnm]
steps = 2
[settings.dpi]
steps = 4
[settings.ilvr]
steps = 4
range_t = 1
"""


def run_in_a_process(home: Path, threads: int) -> dict[str, bytes]:
    """Name -> bytes of the pictures that methods made of two sample faces."""
    home.mkdir()
    (home / "bench.toml").write_text(CONFIG)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    for arguments in (["prepare", "sample", "--scale", "8", "--count", "2"], ["run", *METHODS]):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    pictures = (home / "results").rglob("*.png")
    return {str(path.relative_to(home)): path.read_bytes() for path in pictures}


def test_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (run_in_a_process(tmp_path / name, threads=1) for name in ("one", "two"))
    assert len(first) == 2 * len(METHODS)
    assert first == second


def test_a_difference_is_measured() -> None:
    a = [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)]
    b = [a[0].copy(), a[1].copy()]
    assert determinism.difference(a, b) == "equal"
    b[1][0, 0, 0] = 3  # 9 / 12 in the mean
    assert determinism.difference(a, b) == "49.4 dB, 3, 1"
    b[0][0] = 1
    assert determinism.difference(a, b) == "49.4 dB, 3, 7"


def test_the_page_has_every_method_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    page = determinism.FILE.read_text(encoding="utf-8")
    for name in method_names():
        method = find_method(name)
        if method.kind != "external":
            assert f"| {method.title} |" in page or f" {name}" in page.split("\n\n")[-2]
    assert determinism.page(determinism.WAYS, ["| x |"], ["y"]).startswith(determinism.HEAD)
    monkeypatch.setattr(determinism, "WAYS", (*determinism.WAYS, determinism.GPU))
    assert "not measured yet" not in determinism.page(determinism.WAYS, [], [])
