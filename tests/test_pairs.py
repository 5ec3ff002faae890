"""Two of every command at once, in processes; `python -m tests.pairs 20` does it for longer."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_two_of_every_command_at_once_end_as_one_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pairs", "1"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 times two of weights, prepare, train, run" in done.stdout
