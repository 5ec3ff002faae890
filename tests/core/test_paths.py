"""Optional packages: what is missing is named with the command that installs it."""

from pathlib import Path

import pytest

from bench.core import paths
from bench.core.errors import BenchError
from bench.core.paths import missing_packages
from bench.training.settings import SMALL
from bench.training.tasks import prior_task, run_task


def test_installed_packages_are_not_missing() -> None:
    assert missing_packages("train", "numpy", "torch") is None


def test_missing_packages_are_named_with_the_remedy() -> None:
    missing = missing_packages("train", "numpy", "no_such_module", "nor_this")
    assert missing == "no_such_module, nor_this not installed: run `pip install -e '.[train]'`"


def test_training_without_its_packages_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "find_spec", {"matplotlib": object()}.get)
    with pytest.raises(BenchError, match=r"Training needs packages: accelerate, tensorboard not"):
        run_task(prior_task(64), tmp_path / "no data", SMALL, tmp_path / "out")
    assert not (tmp_path / "out").exists()
