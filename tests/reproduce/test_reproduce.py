"""Reproducing published tables: plans, the embedded path, failures, wrong usage."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.options import changed_settings
from bench.core.config import Workspace
from bench.core.errors import BenchError, WrongUsage
from bench.core.presets import init_workspace, preset_config
from bench.engine.run import run_suite
from bench.methods import configure
from bench.metrics import find_measure
from bench.reproduce import stages
from bench.reproduce.steps import Options, Request
from bench.reproduce.suite import find_suite, published_table, suite_files
from tests.command import bench, good
from tests.small import photos

TABLES = ("table1", "table2", "table3", "table4")
FEW = (
    *("ddnm.steps=5", "ddrm.steps=5", "dps.steps=5", "ilvr.steps=5", "ilvr.range_t=1"),
    *("pgdiff.steps=5", "difface.steps=10", "sr3.steps=5", "dpi.steps=5", "dr2.tau=90"),
    *("pigdm.steps=5", "diffpir.steps=5", "reddiff.steps=5", "daps.annealing_steps=3"),
)
"""Settings under which the tests are quick."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace that the tests of this module share, so that tables share runs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def request(home: Path, name: str = "table1", **options: object) -> Request:
    here = Workspace(home, preset_config("embedded"), None)
    return Request(name, find_suite(name), here, Options(**options))  # type: ignore[arg-type]


# --- The embedded path --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_made_in_small_and_a_second_time_nothing_is_done(home: Path, name: str) -> None:
    scale = () if name == "table2" else ("--scale", "8")
    few = [word for setting in FEW for word in ("--set", setting)]
    command = ("reproduce", name, "--embedded", "--count", 1, *scale, *few)
    first = good(*command)
    files = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert "to do" not in first.out
    assert "failed" not in first.out
    assert "DPI (AAAI-25), Table" in first.out
    assert {path.suffix for path in (home / "results" / "reproduced").glob(f"{name}-*")} == {
        ".json",
        ".md",
        ".tex",
    }
    second = good(*command)
    assert second.out == first.out
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_derived_column_is_done_when_its_parts_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = find_measure("ntire-score")
    monkeypatch.setattr(type(score), "unavailable", lambda self: None)
    monkeypatch.setattr(stages, "_columns", lambda *_: [score])
    scored = [part.key for part in score.computed]
    run = SimpleNamespace(scores=lambda: {"identity": scored})
    monkeypatch.setattr(stages, "_complete_runs", lambda *_: [("DPI", run)])
    nothing: Any = None
    assert stages._scores(request(home), nothing, nothing, "scores").state == "done"
    scored.pop()
    assert stages._scores(request(home), nothing, nothing, "scores").state == "to do"


def test_a_figure_is_drawn_of_the_runs_of_its_suite(home: Path) -> None:
    few = [word for setting in FEW for word in ("--set", setting)]
    command = ("reproduce", "figure7", "--embedded", "--count", "1", *few)
    first = good(*command)
    (figure,) = (home / "results" / "reproduced").glob("figure7-*.pdf")
    assert figure.read_bytes().startswith(b"%PDF")
    assert "done     omega 1000 on sample-64-x8-first-1" in first.out
    runs = [line for line in first.out.splitlines() if " on sample-64" in line]
    assert len({line.split()[-1] for line in runs if "dpi-" in line}) == 8, "each has settings"
    assert good(*command).out == first.out


def test_a_suite_of_runs_can_make_a_table_on_noisy_inputs(home: Path) -> None:
    few = [word for setting in FEW for word in ("--set", setting)]
    command = ("reproduce", "ffhq-x4", "--embedded", "--count", "2", *few)
    first = good(*command)
    assert "FFHQ at x4 with noise 0.05: zero-shot methods on the same prior" in first.out
    (table,) = (home / "results" / "reproduced").glob("ffhq-x4-*.json")
    found = json.loads(table.read_text())
    methods = ["DPS", "DDRM", "DDNM", "PiGDM", "DiffPIR", "RED-diff", "DAPS"]
    assert [row["title"] for row in found["methods"]] == methods
    manifest = json.loads((home / "testsets" / table.stem[8:] / "manifest.json").read_text())
    assert (manifest["plan"]["noise"], manifest["plan"]["noise_unit"]) == (0.05, "signed")
    assert good(*command).out == first.out


def test_rows_of_an_ablation_keep_their_own_settings(home: Path) -> None:
    planned = request(home, "table4", embedded=True, settings={"dpi": {"tau": 33.0, "steps": 7}})
    runs = {run.label: run.settings["dpi"] for run in planned.runs(planned.testsets()[0])}
    assert {settings["steps"] for settings in runs.values()} == {7}
    assert runs["DPI"]["tau"] == 33.0
    assert runs["w/o Stage II, w/o Weight"]["tau"] == 0
    assert runs["w/o k = 2"]["k"] == 4


# --- Plans ---------------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_dry_run_names_what_only_a_person_can_do_and_writes_nothing(empty: Path) -> None:
    out = good("reproduce", "table1", "--dry-run").out
    for line in (
        "missing  weights codeformer",
        "accept the licence with `bench weights get codeformer`",
        "to do    weights prior-256",
        "to do    weights lpips",
        "missing  corrector for 256 px, x16  training of 100,000 steps of 32 images",
        "give --training-images DIR (FFHQ, images that are in no test set)",
        "to do    test set celeba-256-x8  from hf:",
    ):
        assert line in out, out
    assert list(empty.iterdir()) == []
    out = good("reproduce", "table2", "--dry-run").out
    assert "missing  test set wider-256-real  give its images with --source wider=DIR" in out, out
    assert "missing  reference set ffhq  give clean faces with `bench reference add ffhq" in out


def test_a_dry_run_of_real_images_passes_without_their_reference(empty: Path) -> None:
    good("init", "--blind")  # whose reference, FFHQ, is missing
    photos(empty / "faces", 2, 256)
    name = "lfw-256-real-first-2"
    good("prepare", "lfw", "--source", "faces", "--count", 2, "--name", name)
    out = good("reproduce", "table2", "--count", 2, "--dry-run").out
    assert f"done     test set {name}" in out
    assert f"to do    scores on {name}" in out
    assert "missing  reference set ffhq" in out


def test_a_dry_run_estimates_the_cost_of_runs_on_prepared_test_sets(empty: Path) -> None:
    del empty
    good("prepare", "sample", "--size", 64, "--count", 1, "--name", "sample-64-x8-first-1")
    out = good("reproduce", "table4", "--embedded", "--count", 1, "--dry-run").out
    assert "to do    DPI on sample-64-x8-first-1  1" in out.replace("101 NFE", "1")  # of each net
    assert "h on this device" in out


@pytest.mark.parametrize("name", suite_files())
def test_every_suite_can_be_planned_in_both_sizes(home: Path, name: str) -> None:
    for embedded in (False, True):
        planned = request(home, name, embedded=embedded)
        for testset in planned.testsets():
            runs = planned.runs(testset)
            assert runs
            for run in runs:
                configure(run.method, testset.plan.scale, planned.size, run.settings)
        table = published_table(planned.suite)
        if table and not embedded:
            printed = {(value.family, value.scale) for value in table.values}
            made = {
                (each.plan.recipe, each.plan.scale if each.plan.degradation == "bicubic" else None)
                for each in planned.testsets()
            }
            assert made == printed


def test_published_settings_are_those_of_the_printed_scale(home: Path) -> None:
    planned = request(home, "table1")
    settings = {
        testset.plan.scale: {
            run.method: run.settings.get(run.method) for run in planned.runs(testset)
        }
        for testset in planned.testsets()
    }
    eight, sixteen = settings[8]["dpi"], settings[16]["dpi"]
    assert eight is not None
    assert sixteen is not None
    assert (eight["steps"], eight["tau"], sixteen["tau"]) == (1000, 300, 500)
    assert settings[8]["ddnm"] == {"steps": 100, "eta": 0.85}


# --- Failures and wrong usage --------------------------------------------------------------------


def test_a_step_that_fails_does_not_stop_the_others(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_suite

    def failing(names: list[str], *rest: object) -> object:
        if names == ["ddnm"]:
            raise BenchError("No luck today.")
        return whole(names, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "run_suite", failing)
    suite = find_suite("table1")
    small = replace(suite.embedded, metrics=("psnr",))
    few = changed_settings([*FEW])
    asked = request(empty, embedded=True, count=1, scales=(8,), settings=few)
    steps = list(stages.reproduce(replace(asked, suite=replace(suite, embedded=small))))
    states = {step.name.partition(" on ")[0]: step for step in steps if " on " in step.name}
    assert states["DDNM"].state == "failed"
    assert states["DDNM"].note == "No luck today."
    assert states["Bicubic"].state == states["DPI(Ours)"].state == "done"
    assert steps[-1].state == "done"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table5", "There is no suite 'table5': did you mean"),
        ("table1 --scale 3", "table1 has no scale 3."),
        (
            "table1 --source lfw=photos",
            "--source lfw=... names an unknown test set: known are celeba",
        ),
        ("table1 --source a/b --source c/d", "--source c/d is a second source for all: give one."),
        ("table1 --set dpi=3", "--set dpi=3 is not of the form METHOD.NAME=VALUE."),
        ("table1 --embedded --set dpi.stepz=3", "settings.dpi has no 'stepz'"),
    ],
)
def test_wrong_usage_is_told(empty: Path, arguments: str, message: str) -> None:
    outcome = bench("reproduce", *arguments.split())
    assert (outcome.code, message in outcome.err) == (2, True), outcome
    assert list(empty.iterdir()) == []


# --- bench init ----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["embedded", "paper", "blind"])
def test_init_writes_a_configuration_whose_methods_and_settings_exist(
    empty: Path, preset: str
) -> None:
    good("init", f"--{preset}")
    assert {path.name for path in empty.iterdir()} == {"bench.toml", "baselines", "datasets"}
    config = preset_config(preset)  # type: ignore[arg-type]
    for name in (*config.methods, *config.settings):
        configure(name, 8, config.size or 256, config.settings)
    good("methods")


def test_prepare_offers_it_where_there_is_none(empty: Path) -> None:
    said = good("prepare", "sample", "--count", 1).err
    assert "No bench.toml is here: HR size 256 px, the recipe's. `bench init` writes one" in said
    good("init")
    assert "bench.toml is here" not in good("prepare", "sample", "--count", 1).err
    assert {path.name for path in (empty / "testsets").glob("*/")} == {
        "sample-256-x8",
        "sample-64-x8",
    }


def test_init_does_not_overwrite_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("seed = 3\n")
    with pytest.raises(WrongUsage, match=r"bench\.toml already exists"):
        init_workspace(tmp_path, "embedded")
    assert (tmp_path / "bench.toml").read_text() == "seed = 3\n"
    outcome = bench("init", "--paper", "--blind")
    assert outcome.code == 2
    assert "--paper and --blind exclude each other" in outcome.err


def test_the_checkouts_configuration_is_the_embedded_preset() -> None:
    root = Path(__file__).parents[2]
    assert (root / "bench.toml").read_text() == (
        root / "bench" / "presets" / "embedded.toml"
    ).read_text()
