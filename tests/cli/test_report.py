"""`bench report`: the paper's tables, published values, and the check."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from bench.core import paths
from bench.testsets import manifest
from bench.testsets.manifest import TestSet
from tests.command import bench as command
from tests.command import good
from tests.small import photos, small_testset

CONFIG = """
size = 16
methods = ["bicubic"]
metrics = ["psnr"]
"""

TABLE = """
[source]
paper = "P"
title = "A title"
venue = "V"
label = "Table 1"
caption = "A caption"
[metrics]
psnr = { title = "PSNR", higher_is_better = true }
[test_sets]
celeba = "CelebA"
[methods]
bicubic = "Bicubic"
ilvr = "ILVR"
[values.celeba.x2]
bicubic = { psnr = 99.00 }
[values.celeba.x4]
bicubic = { psnr = 99.00 }
ilvr = { psnr = 21.00 }
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with two test sets, a run on the later one, and a paper of our own."""
    (tmp_path / "bench.toml").write_text(CONFIG)
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "table1.toml").write_text(TABLE)
    (tmp_path / "published" / "conditions.toml").write_text("[P]\nsize = 16\nimages = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    genuine = paths.resource
    monkeypatch.setattr(
        paths,
        "resource",
        lambda name: tmp_path / "published" if name == "results/published" else genuine(name),
    )
    photos(tmp_path / "photos", count=4, size=16)
    good("prepare", "celeba", "--source", "photos", "--scale", 2)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    good("run")
    return tmp_path


def test_a_table_of_the_paper_is_laid_out_on_every_test_set_that_it_has() -> None:
    out = good("report", "--table", 1, "--beside").out
    assert out.count("P (V), Table 1: celeba, 16 px") == 2
    assert out.index("px, \N{MULTIPLICATION SIGN}2") < out.index("px, \N{MULTIPLICATION SIGN}4")
    assert "Not run: `bench run bicubic ilvr --testset celeba-16-x2`." in out
    assert "99.00 (" in out
    assert "99.00" not in good("report", "--table", 1).out
    one = good("report", "--table", 1, "--testset", "celeba-16-x4").out
    assert one.count("Table 1: celeba") == 1


def test_several_tables_are_one_file_of_each_format() -> None:
    tables = json.loads(good("report", "--table", 1, "--json").out)
    assert [table["scale"] for table in tables] == [2, 4]
    assert tables[1]["methods"][0]["scores"]["psnr"]["published"]["printed"] == "99.00"
    rows = list(csv.DictReader(io.StringIO(good("report", "--table", 1, "--csv").out)))
    assert [(row["scale"], row["method"]) for row in rows] == [
        *(("2", "bicubic"), ("2", "ilvr"), ("4", "bicubic"), ("4", "ilvr"))
    ]
    latex = good("report", "--table", 1, "--latex", "--beside").out
    assert latex.count(r"\begin{table}") == 2
    assert good("report", "--table", 1, "--markdown").out.count("### P") == 2


def test_a_value_that_is_off_is_named_and_exits_with_3(home: Path) -> None:
    for options in ((), ("--table", 1)):
        outcome = command("report", *options, "--check")
        assert outcome.code == 3
        assert "PSNR of Bicubic on celeba, 16 px at x4 is " in outcome.err
        assert "published 99.00 (P (V), Table 1): off." in outcome.err
        assert "1 values are comparable with published ones, 1 off." in outcome.err
    (home / "published" / "conditions.toml").write_text("[P]\nsize = 256\n")
    outcome = good("report", "--check")
    assert "0 values are comparable with published ones, 0 off." in outcome.err


def test_published_values_and_intervals_are_shown_when_asked() -> None:
    assert "published" not in good("report").out
    assert "99.00 (" in good("report", "--beside").out
    assert " to " in good("report", "--intervals").out
    assert "95 %" in good("report", "--intervals", "--markdown").out


@pytest.mark.parametrize(
    "options", [("bicubic",), ("--metric", "psnr"), ("--costs",), ("--strip", "x.png")]
)
def test_a_table_of_the_paper_takes_no_choice_of_ones_own(options: tuple[str, ...]) -> None:
    outcome = command("report", *options, "--table", 1)
    assert outcome.code == 2
    assert "--table defines its own methods and metrics" in outcome.err


def test_a_table_that_the_paper_lacks_is_wrong_usage() -> None:
    outcome = command("report", "--table", 7)
    assert outcome.code == 2
    assert "There is no published Table 7: known are Table 1." in outcome.err


def test_a_page_of_a_run_by_its_folder_shows_the_run(home: Path) -> None:
    (run,) = (home / "results" / "celeba-16-x4").glob("bicubic-*")
    good("report", run.name[:12], "--testset", "celeba-16-x4")
    (home / "bench.toml").write_text(CONFIG)  # no test set is named: the page looks for one
    good("report", run.name[:12], "--html", "page")
    assert "Bicubic" in (home / "page" / "index.html").read_text(encoding="utf-8")


def test_a_page_without_results_is_refused(home: Path) -> None:
    shutil.rmtree(home / "results")
    outcome = command("report", "--table", 1, "--html", "page")
    assert outcome.code == 1
    assert "No test set has results for a page: `bench run` first." in outcome.err
    assert not (home / "page").exists()


def test_a_test_set_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening one hashes every file of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\ntestset = "tiny-16-x4"\n')
    small_testset(tmp_path)
    good("run", "bicubic")
    opened: list[Path] = []
    whole = manifest.open_testset

    def counted(folder: Path) -> TestSet:
        opened.append(folder)
        return whole(folder)

    monkeypatch.setattr(manifest, "open_testset", counted)
    good("report", "--strip", "faces.png", "--html", "page")
    assert opened == [tmp_path / "testsets" / "tiny-16-x4"]
    opened.clear()
    good("export", "--out", "results.tar")
    assert len(opened) == 1
