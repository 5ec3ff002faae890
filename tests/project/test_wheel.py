"""The wheel: built, installed beside a package called baselines, and used in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and with another package that is called baselines."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    (site / "baselines").mkdir()
    (site / "baselines" / "__init__.py").write_text("raise ImportError('not ours')\n")
    return site


def run(installed: Path, folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_puts_only_bench_at_the_top(wheel: Path) -> None:
    assert wheel.name.startswith("face_sr_bench-")
    with ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"bench"}
        shipped = {n.removeprefix("bench/shipped/").partition("/")[0] for n in archive.namelist()}
    assert {"baselines", "datasets", "results"} <= shipped


def test_a_wheel_makes_a_table_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "init")
    run(installed, tmp_path, "prepare", "sample", "--scale", "8", "--count", "1")
    run(installed, tmp_path, "run", "bicubic", "dr2", "--set", "dr2.tau=5")
    table = run(installed, tmp_path, "report", "--csv", "--metric", "psnr")
    assert "Bicubic" in table
    assert "DR2" in table


def test_methods_of_ones_own_are_found_beside_those_of_a_wheel(
    installed: Path, tmp_path: Path
) -> None:
    run(installed, tmp_path, "init")
    run(installed, tmp_path, "new-method", "mine")
    assert "mine" in run(installed, tmp_path, "methods")
    run(installed, tmp_path, "check-method", "mine")
