"""Every metric that runs here gives the same values in two processes: nothing in it is random."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.metrics import all_metrics
from bench.store.run import list_runs
from tests.command import ROOT, good


def scores(folder: Path, metrics: list[str], seed: int) -> pd.DataFrame:
    options = [word for name in metrics for word in ("--metric", name)]
    subprocess.run(
        [sys.executable, "-m", "bench", "evaluate", "--testset", "sample-64-x8", *options],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    (run,) = list_runs(folder / "results", "sample-64-x8")
    found = run.scores()
    assert found is not None
    return found.sort_values(["identity", "image"]).reset_index(drop=True)


@pytest.mark.slow
def test_every_metric_gives_the_same_in_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    monkeypatch.chdir(first)
    (first / "bench.toml").write_text('metrics = ["psnr"]\nsize = 64\n')
    good("prepare", "sample", "--scale", 8, "--count", 3)
    good("run", "bicubic")
    shutil.copytree(first, second)
    here = [name for name, metric in all_metrics().items() if metric.unavailable() is None]
    values = [scores(folder, here, seed) for seed, folder in enumerate((first, second))]
    pd.testing.assert_frame_equal(values[0], values[1], check_exact=True)
    assert values[0]["identity"].nunique() > 3
