"""Optional packages: what is missing is named with the command that installs it."""

from pathlib import Path

import pytest

from bench.core import paths
from bench.core.errors import BenchError
from bench.core.paths import missing_packages
from bench.metrics import find_measure
from bench.metrics.features.backbones import fetch_backbones
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


@pytest.mark.parametrize("kind", ["a file is in the way", "no permission"])
def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCH_CACHE", str(folder / "bench"))
    assert paths.cache_unusable() is None
    assert not folder.exists()  # what was made to try it is gone
    if kind == "no permission":  # root may write where permissions say no
        monkeypatch.setattr("os.access", lambda path, mode: False)
    else:
        folder.write_bytes(b"")
    reason = str(paths.cache_unusable())
    assert reason.startswith(f"The cache folder {folder}/bench can't be written (")
    assert reason.endswith("): set BENCH_CACHE to another.")


def test_scoring_goes_on_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CS by Dlib is a dash with the remedy; what needs no cache is measured."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "bench"))
    assert find_measure("psnr").unavailable() is None
    reason = str(find_measure("cs-dlib").unavailable())
    assert "set BENCH_CACHE" in reason or "not installed" in reason
    with pytest.raises(BenchError, match="set BENCH_CACHE to another"):
        fetch_backbones([])
