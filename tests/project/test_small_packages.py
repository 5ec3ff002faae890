"""The small packages: resources, the cache, progress bars, and methods found by name."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

import bench
import bench.core.paths
from bench.core.errors import BenchError
from bench.core.memory import keep_freed_memory
from bench.core.paths import cache_folder, checkpoints, resource
from bench.core.progress import progress, track
from bench.methods import catalogue, find_method, method_names


def test_what_ships_is_found_in_the_package_before_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bench"
    monkeypatch.setattr(bench.core.paths, "_PACKAGE", package)
    with pytest.raises(BenchError, match="The project's folder datasets is missing: reinstall"):
        resource("datasets")
    (tmp_path / "datasets").mkdir()
    assert resource("datasets") == tmp_path / "datasets"
    (package / "shipped" / "datasets").mkdir(parents=True)
    assert resource("datasets") == package / "shipped" / "datasets"


@pytest.mark.parametrize("name", ["datasets", "results/published"])
def test_the_projects_own_folders_are_found(name: str) -> None:
    assert list(resource(name).glob("*.toml"))
    assert checkpoints() == Path(bench.__file__).parent / "checkpoints"


def test_the_cache_follows_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "bench"
    monkeypatch.setenv("BENCH_CACHE", "~/own")
    assert cache_folder() == Path.home() / "own"


def test_progress_is_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), "spelling", total=3)) == ["a", "b", "c"]
    with progress("working", total=2, done=1) as advance:
        advance(1, "note")
    assert capfd.readouterr() == ("", "")


def test_progress_passes_errors_on() -> None:
    with pytest.raises(KeyError), progress("working", total=2):
        raise KeyError


def test_a_module_without_a_method_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"not-yet": Path("baselines/not_yet.py")}
    monkeypatch.setattr(catalogue, "_files", lambda: files)
    monkeypatch.setitem(sys.modules, "baselines.not_yet", ModuleType("baselines.not_yet"))
    with pytest.raises(BenchError, match=r"baselines/not_yet\.py must define METHOD as a bench"):
        find_method("not-yet")


def test_every_method_bears_the_name_of_its_file() -> None:
    assert "bicubic" in method_names()
    for name in method_names():
        assert find_method(name).name == name


@pytest.mark.skipif(sys.platform != "linux", reason="there is no glibc to tell")
def test_the_c_library_takes_the_advice_on_memory() -> None:
    assert keep_freed_memory()


def test_without_that_c_library_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", absent)
    assert not keep_freed_memory()
