"""Sweeps: which runs a sweep makes, that they are runs like any other, and what is refused."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import BenchError, WrongUsage
from bench.engine.experiment import Experiment
from bench.engine.run import run_suite
from bench.engine.sweep import combinations, one_at_a_time, run_sweep, variants_of
from bench.methods import find_method
from bench.store.run import Run, list_runs
from bench.testsets.manifest import TestSet
from tests.command import bench, good
from tests.small import small_testset
from tests.small_method import shade_workspace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the method shade and a test set of two images."""
    monkeypatch.chdir(tmp_path)
    return shade_workspace(tmp_path)


def settings_run(home: Path) -> list[tuple[float, int, str]]:
    """dark, level and hour of every run, sorted."""
    runs = [run.spec.settings for run in list_runs(home / "results", "tiny-16-x4")]
    return sorted((s["dark"], s["level"], s["hour"]) for s in runs)


def test_one_at_a_time_goes_back_to_the_middle_each_time() -> None:
    points = one_at_a_time({"tau": [0, 100], "s": [1.4]})
    assert points == [{}, {"tau": 0}, {"tau": 100}, {"s": 1.4}]


def test_all_combinations_and_the_middle() -> None:
    points = combinations({"tau": [0, 100], "s": [1, 1.4]})
    corners = [{"tau": t, "s": s} for t in (0, 100) for s in (1, 1.4)]
    assert points == [{}, *corners]
    assert {tuple(point) for point in combinations({})} == {()}


def test_values_behind_an_option_are_a_run_each(home: Path) -> None:
    out = good("sweep", "shade", "--dark", "0.25", 1, "--level=3", "--repeat", 1)
    assert settings_run(home) == [
        (0.25, 2, "noon"),
        (0.5, 2, "noon"),  # as bench.toml has it
        (0.5, 3, "noon"),
        (1.0, 2, "noon"),
    ]
    assert "shade: 4 runs, 8 images restored" in out.out
    assert "2 of 4: Shade, dark 0.25" in out.err


def test_a_grid_is_all_of_them(home: Path) -> None:
    good("sweep", "shade", "--grid", "--dark", "0.25", "0.75", "--hour", "noon", "dusk")
    middle = (0.5, 2, "noon")
    corners = [(dark, 2, hour) for dark in (0.25, 0.75) for hour in ("noon", "dusk")]
    assert settings_run(home) == sorted([middle, *corners])


def test_what_is_done_is_not_done_again_whoever_did_it(home: Path) -> None:
    good("run", "shade", "--set", "shade.dark=0.25")
    out = good("sweep", "shade", "--dark", "0.25", "0.50").out
    assert "shade: 2 runs, 2 images restored" in out  # that of dark = 0.5, which is the default
    assert "shade: 2 runs, 0 images restored" in good("sweep", "shade", "--dark", "0.25").out


def test_variants_are_run_and_named_in_the_table(home: Path) -> None:
    good("sweep", "shade", "--variants", "--dark", 0)  # which is a variant already
    assert settings_run(home) == [(0.0, 2, "noon"), (0.5, 2, "dusk"), (0.5, 2, "noon")]
    table = good("report", "--markdown").out
    names = [line.split("|")[1].strip() for line in table.splitlines() if "Shade" in line]
    assert names == ["Shade", "Shade at Dusk", "Shade w/o Light"]


def test_a_run_has_the_name_of_its_settings_whoever_made_it(home: Path) -> None:
    good("run", "shade", "--set", "shade.hour=dusk")
    assert "| Shade at Dusk |" in good("report", "--markdown").out


def test_names_are_written_by_who_holds_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process has written to the description meanwhile would be lost else."""
    held = []
    note = Run.note_variants

    def watched(run: Run, variants: Mapping[str, Sequence[str]]) -> None:
        folder = os.open(run.folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        held.append(dict(variants))
        note(run, variants)

    monkeypatch.setattr(Run, "note_variants", watched)
    good("sweep", "shade", "--hour", "dusk")
    assert held == [{}, {"at Dusk": ["hour"]}]


def test_repetitions_are_of_every_run(home: Path) -> None:
    good("sweep", "shade", "--dark", 1, "--repeat", 2)
    assert settings_run(home) == [(0.5, 2, "noon")] * 2 + [(1.0, 2, "noon")] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--drak", "1"], "shade has no setting 'drak': did you mean '--dark'?"),
        (["--sed", "1"], "shade has no setting 'sed': did you mean '--seed' or"),
        (["--zzz"], "it has --dark, --level, --hour"),
        (["--dark"], "--dark needs values, such as --dark 1 2."),
        ([], "Nothing to sweep: give a setting with its values"),
        (["--level", "1.5"], "settings.shade.level is 1.5, but must be a whole number."),
        (["--hour", "dawn"], "settings.shade.hour is 'dawn': choose 'noon' or 'dusk'."),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    home: Path, arguments: list[str], said: str
) -> None:
    outcome = bench("sweep", "shade", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (home / "results").exists()


def test_a_method_without_variants_says_so(home: Path) -> None:
    outcome = bench("sweep", "bicubic", "--variants")
    assert outcome.code == 2
    assert "bicubic has no variants" in outcome.err


def test_every_variant_of_dpi_changes_its_settings() -> None:
    method = find_method("dpi")
    published = method.configured(8, {})
    for label, values in method.variants.items():
        changed = method.configured(8, values)
        assert changed != published
        assert list(method.variants_of(vars(changed))) == [label]
    assert method.variants_of(vars(published)) == {}
    assert len(variants_of(method)) == 6


class TestWithTheEmbeddedNetworks:
    """A Corrector has a grid, so that not every k can be run."""

    @pytest.fixture
    def testset(self, tmp_path: Path) -> TestSet:
        return small_testset(tmp_path, count=1, size=64, scale=8)

    def test_what_cannot_be_run_is_left_out_with_its_reason(
        self, testset: TestSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        experiment = Experiment(testset, tmp_path, {"dpi": {"steps": 1}})
        finished = run_sweep("dpi", [{"k": 4}, {"tau": 0}], experiment)
        assert [item.run.spec.settings["k"] for item in finished] == [2]
        assert finished[0].run.variants == {"w/o Stage II": ["tau"]}
        said = " ".join(capsys.readouterr().err.split())
        assert "Skipped DPI, k 4:" in said
        assert "was trained for k 2, but the settings have k 4" in said
        same = replace(experiment, settings={"dpi": {"steps": 1, "tau": 0}})
        (again,) = run_suite(("dpi",), same)
        assert again.restored == 0

    def test_where_none_can_be_run_it_is_an_error(self, testset: TestSet, tmp_path: Path) -> None:
        missing = {"prior": str(tmp_path / "none.pt")}
        experiment = Experiment(testset, tmp_path, weights=missing)
        with pytest.raises(BenchError, match=r"^There is no prior at \S+none\.pt\.$"):
            run_sweep("dpi", [{}, {"tau": 0}], experiment)
        with pytest.raises(WrongUsage, match="did you mean 'tau'"):
            run_sweep("dpi", [{}, {"tua": 0}], experiment)
