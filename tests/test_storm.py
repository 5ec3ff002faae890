"""A short storm of kills; `make storm` is a long one."""

import os
import subprocess
import sys
from pathlib import Path

from tests.copies import differences
from tests.storm import KILLED

ROOT = Path(__file__).parents[1]


def test_commands_killed_at_random_end_as_if_undisturbed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm", "12"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 kills in" in done.stdout
    assert all(f"'{name}'" in done.stdout for name in KILLED), done.stdout


def test_a_storm_names_what_is_not_as_it_was() -> None:
    assert differences({"a": b"1", "b": b"1"}, {"b": b"2", "c": b""}) == [
        "a is missing.",
        "c is left behind.",
        "b differs.",
    ]
