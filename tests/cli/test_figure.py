"""`bench figure`: from the store to a file, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.engine.dpi_trace import trace_conditions
from bench.engine.experiment import Experiment
from bench.engine.run import run_suite
from bench.images import read_image
from bench.report.figures.gather import (
    MeasuredRun,
    between,
    by_method,
    pairs_of,
    results_of,
    swept_run,
)
from bench.report.tables.collect import table_of
from bench.report.tables.runs import find_runs, first_repetitions
from bench.report.tables.table import NOT_MEASURED, Column
from bench.store.reading import Reading
from bench.store.run import list_runs
from bench.testsets.manifest import open_testset
from tests.command import bench, good
from tests.small import small_testset
from tests.small_method import shade_workspace


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with results of bicubic and of shade, swept, two repetitions each."""
    root = shade_workspace(tmp_path_factory.mktemp("swept"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        good("run", "bicubic")
        good("sweep", "shade", "--dark", "0.25", 1, "--level", 1, "--variants", "--repeat", 2)
    return root


@pytest.fixture
def home(swept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(swept)
    return swept


def folders(home: Path, **settings: object) -> list[str]:
    """Names of the folders of the runs of shade with these settings."""
    return [
        run.folder.name
        for run in list_runs(home / "results", "tiny-16-x4")
        if run.spec.method == "shade" and settings.items() <= run.spec.settings.items()
    ]


def test_every_figure_is_drawn_from_the_store(home: Path) -> None:
    dusk = folders(home, hour="dusk")[0]
    for arguments in (
        ["grid", "bicubic", dusk, "--faces", 1, "--zoom", "0.1,0.2,0.3"],
        ["pareto", "--metric", "psnr"],
        ["scatter", "bicubic", dusk, "--metric", "psnr"],
        ["tradeoff", "shade", "--x", "lr-psnr", "--y", "psnr"],
    ):
        for suffix in ("png", "pdf"):
            file = home / f"{arguments[0]}.{suffix}"
            outcome = good("figure", *arguments, "--out", file)
            assert outcome.err.splitlines()[1:] == [f"Saved {file}"]
            assert file.read_bytes()[:4] in (b"\x89PNG", b"%PDF")
    assert read_image(home / "grid.png").shape[1] == 975
    good("figure", "pareto", "--metric", "psnr", "--width", 5, "--out", home / "wide.png")
    assert read_image(home / "wide.png").shape[1] == 1500


def test_quality_against_nfe_joins_runs_and_skips_those_without_a_network(home: Path) -> None:
    options = ("--metric", "psnr", "--cost", "nfe", "--join", "--out", home / "nfe.png")
    outcome = bench("figure", "pareto", *options)
    assert "Skipped: Bicubic" in outcome.err
    assert "A logarithmic axis has no 0." in outcome.err
    assert outcome.code == 1  # no method here calls a network
    assert "No run has both a value and NFE." in outcome.err
    testset = open_testset(home / "testsets" / "tiny-16-x4")
    runs = find_runs(testset, home / "results", [], ())
    results, _ = results_of(testset, runs, [], "strict")
    placed, _ = between(results, "seconds", "seconds")
    series = by_method(placed)
    assert {name: len(points) for name, points in series.items()} == {"Bicubic": 1, "Shade": 6}


def test_repetitions_are_one_result_and_its_values_their_mean(home: Path) -> None:
    from bench.metrics import find_measure

    testset = open_testset(home / "testsets" / "tiny-16-x4")
    runs = find_runs(testset, home / "results", ["shade"], ())
    results, columns = results_of(testset, runs, [find_measure("psnr")], "strict")
    assert len(runs) == 2 * len(results) == 12
    assert columns.keys() == {"psnr", "seconds", "evaluations", "memory"}
    assert [result.run.spec.repetition for result in results] == [0] * 6
    assert [run.spec for run in first_repetitions(runs)] == [r.run.spec for r in results]
    assert "Shade at Dusk (dark 0.5, level 2)" in {result.label for result in results}
    metrics = [find_measure("psnr")]
    rows = [table_of(testset, [run], metrics).rows[0] for run in runs[:2]]
    values = [row.scores["psnr"]["face-0"] for row in rows]
    assert results[0].scores["psnr"]["face-0"] == pytest.approx(sum(values) / 2)
    mean = np.mean([list(row.scores["psnr"].values()) for row in rows])
    assert results[0].values["psnr"] == pytest.approx(mean)
    placed, absent = between(results, "psnr", "seconds")
    assert not absent
    assert placed[0][1].x == results[0].values["psnr"]
    run = swept_run(*placed[0], "face-1")
    assert run.settings == results[0].run.spec.settings
    assert run.picture is not None
    assert (run.picture == read_image(results[0].run.picture("face-1"))).all()
    assert swept_run(*placed[0], "no face").picture is None


def test_a_result_without_a_value_is_left_out_with_the_reason(home: Path) -> None:
    outcome = bench("figure", "tradeoff", "shade", "--out", home / "x.pdf", "--x", "psnr")
    assert outcome.code == 1
    assert "Skipped: Shade (dark 0.25, level 2); Shade (dark 0.5, level 1); " in outcome.err
    assert "It was not measured. Run `bench evaluate --metric diversity`." in outcome.err
    assert "run `bench sweep` first" in outcome.err


def test_only_what_can_be_measured_is_told_to_be_measured() -> None:
    nothing = Reading(Path("none"))
    imported = MeasuredRun("A", nothing, {"psnr": 20.0}, {"seconds": NOT_MEASURED}, {})
    perfect = MeasuredRun("B", nothing, {"psnr": math.inf, "seconds": 1.0}, {}, {})
    unscored = MeasuredRun("C", nothing, {"seconds": 1.0}, {"psnr": NOT_MEASURED}, {})
    placed, absent = between([imported, perfect, unscored], "seconds", "psnr")
    assert placed == []
    assert absent == [
        f"Skipped: A. {NOT_MEASURED}",
        "Skipped: B. Its value is infinite.",
        f"Skipped: C. {NOT_MEASURED} Run `bench evaluate --metric psnr`.",
    ]


def test_pairs_are_of_two_runs_and_of_images_that_both_have(home: Path) -> None:
    from bench.metrics import find_measure

    testset = open_testset(home / "testsets" / "tiny-16-x4")
    runs = find_runs(testset, home / "results", ["bicubic", *folders(home, hour="dusk")], ())
    results, columns = results_of(testset, runs, [find_measure("psnr")], "strict")
    bicubic, shade = results
    pairs = [(bicubic.scores["psnr"][i], shade.scores["psnr"][i]) for i in ("face-0", "face-1")]
    assert pairs_of(results, columns["psnr"]) == pairs
    with pytest.raises(BenchError, match="FID is computed over the whole set"):
        pairs_of(results, Column("fid", "FID", False, 2, per="set"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grid", "--out", "x.gif"], "x.gif must end in .pdf or .png"),
        (["grid", "--out", "x.pdf", "--zoom", "eyes"], "--zoom eyes is neither different, none"),
        (["grid", "--out", "x.pdf", "--zoom", "0.9,0,0.2"], "--zoom 0.9,0,0.2 is neither"),
        (["grid", "--out", "x.pdf", "--image", "face-9"], "no image 'face-9': did you mean 'face-"),
        (["scatter", "bicubic", "shade", "--out", "x.pdf", "--metric", "psnr"], "You named 7: bi"),
        (["pareto", "--out", "x.pdf", "--metric", "prsn"], "did you mean"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    home: Path, arguments: list[str], said: str
) -> None:
    outcome = bench("figure", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(home.glob("x.*"))


def test_conditions_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    testset = small_testset(tmp_path, count=2, size=64, scale=8)
    experiment = Experiment(testset, tmp_path, {"dpi": {"steps": 3}}, batch=2)
    (finished,) = run_suite(("dpi",), experiment)
    kept = trace_conditions(experiment, list(testset.entries), [490])
    assert [state.t for state in kept] == [1000, 501, 0]
    assert [state.pictures[0].shape[0] for state in kept] == [32, 32, 64]
    for image, result in zip(testset.entries, kept[-1].pictures, strict=True):
        assert (result == read_image(finished.run.picture(image))).all()
    first = np.asarray(
        Image.fromarray(testset.lr("face-1")).resize((32, 32), Image.Resampling.BICUBIC)
    )
    assert (kept[0].pictures[1] == first).all()
    assert (kept[1].pictures[1] != first).any()
    monkeypatch.chdir(tmp_path)
    options = ["--set", "dpi.steps=2", "--faces", "1", "--out", "c.png"]
    good("figure", "conditions", "--testset", testset.name, *options)
    assert read_image(tmp_path / "c.png").shape[1] == 975
