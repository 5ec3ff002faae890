"""`make gpu` without a GPU: its plan, its parts in small, limits, and what fails."""

import json
import sys
from pathlib import Path

import pytest
import torch

from perf import gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_without_a_gpu_it_says_what_it_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu.main([str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "In at most 9 minutes, on a GPU:" in said
    assert all(part.name in said for part in gpu.PARTS)
    assert said.endswith("There is no GPU here: nothing was run.\n")
    assert not (tmp_path / "out").exists()


def test_the_limits_of_the_parts_leave_time_to_train() -> None:
    assert sum(part.seconds for part in gpu.PARTS) < 2 * 60 * gpu.MINUTES
    *_, last = gpu.PARTS
    assert (last.name, last.seconds) == ("training", 0)


@pytest.mark.slow
def test_parts_run_in_small_on_the_cpu(tmp_path: Path) -> None:
    only = ["--only", "agreement", "memory", "training"]
    assert gpu.main([str(tmp_path), "--anyway", *only]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    parts = summary["parts"]
    assert summary["device"] == "CPU"
    # The CPU against itself, in the same order of the same operations.
    assert {parts["agreement"][name] for name in ("ddnm", "ddrm", "dpi")} == {0.0}
    assert parts["memory"]["increasing"]
    assert parts["memory"]["values"] == 4
    assert parts["training"]["skipped"] == "no --data"


def test_a_part_over_its_limit_and_one_without_packages_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (
        gpu.Part("agreement", "", 6),
        gpu.Part("peak", "", 30, ("no_such_package",)),
        gpu.Part("no such part", "", 60),
    )
    sleepy = tmp_path / "sleepy"
    sleepy.write_text(
        f'#!/bin/sh\ncase "$*" in *agreement*) sleep 60;; *) exec {sys.executable} "$@";; esac\n'
    )
    sleepy.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleepy))
    found = gpu.run_all(parts, tmp_path / "out", 9, None)
    assert found["agreement"]["failed"] == "over 6 s"
    assert found["peak"] == {"skipped": "no_such_package not installed"}
    assert found["no such part"]["failed"].startswith("exit code 1, see no such part.log")


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main([str(tmp_path), "--only", "dps"])
    assert "no part 'dps': choose from tests, agreement" in capsys.readouterr().err
