"""What the page is made of: cells, the gallery's data, pictures, raw numbers, the policy."""

import base64
import csv
import hashlib
import io
import json
import math
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import bench.report.tables.table
import bench.store.run
from bench.api.results import chosen_metrics
from bench.cli.page import save_page
from bench.cli.shared import workspace
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.report.page import pictures as page_pictures
from bench.report.page import render, write_page
from bench.report.page.content import (
    flattened,
    gallery_of,
    images_csv,
    provenance_of,
    shown_cell,
)
from bench.report.page.section import Section
from bench.report.renderers.plain import to_csv
from bench.report.statistics import Array, Standing, standings
from bench.report.tables.collect import COSTS
from bench.report.tables.table import Column, Row, Table
from bench.report.verdict import Departure
from tests.command import bench as command
from tests.command import good
from tests.pages import FACES, FID, LPIPS, MARKUP, PRINTED, PSNR, large_section, run_of, sections
from tests.small import photos, picture, small_testset
from tests.small_method import shade_workspace


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Section:
    return large_section(tmp_path_factory.mktemp("large"))


def shown(row: Row, column: Column) -> dict[str, str]:
    """The details of the one cell of a table."""
    table = Table("Tiny", 4, 4, 0, (column,), (row,))
    ((cell,),) = table.cells
    return dict(shown_cell(cell, column, table).details)


def test_a_mean_says_over_how_many_images_and_a_value_of_what() -> None:
    row = Row("a", "A", {"psnr": {"1": 20.1234567, "2": 20.1234567}}, 2, whole={"fid": 7.0})
    assert shown(row, PSNR).items() >= {"Mean": "20.1235", "Images": "2 of 4"}.items()
    assert shown(row, FID).items() >= {"Value": "7", "Of the whole": "set"}.items()


def test_a_published_number_comes_with_difference_source_and_note() -> None:
    row = Row("dpi", "DPI", {"psnr": {"1": 20.0}}, 1, published={"psnr": PRINTED})
    details = shown(row, PSNR)
    assert details["Published"] == "21.00"
    assert details["Difference"] == "-1.00"
    assert details["Source"] == "DPI, Table 1, as DPI(Ours)"
    assert details["Note"] == MARKUP
    assert details["Verdict"] == "off"
    other = Departure("Ours are other faces.")
    apart = shown(replace(row, departures={"psnr": (other,)}), PSNR)
    assert (apart["Verdict"], apart["Because"]) == ("not comparable", other.text)
    absent = shown(replace(row, scores={}, missing={"psnr": "No weights."}), PSNR)
    assert absent["No value"] == "No weights."
    assert absent["Published"] == "21.00"
    assert "Difference" not in absent
    infinite = shown(replace(row, scores={"psnr": {"1": math.inf}}), PSNR)
    assert "Difference" not in infinite


@pytest.mark.parametrize(
    ("value", "text", "sorted_by"),
    [(0.12345, "0.1235", "0.12345"), (math.inf, "∞", "Infinity"), (None, "\N{EN DASH}", "")],
)
def test_a_cell_is_sorted_by_its_full_value(value: float, text: str, sorted_by: str) -> None:
    row = Row("a", "A", {} if value is None else {"lpips": {"1": value}}, 1)
    table = Table("Tiny", 4, 1, 0, (LPIPS,), (row,))
    cell = shown_cell(table.cells[0][0], LPIPS, table)
    assert (cell.text, cell.value) == (text, sorted_by)


def test_a_tie_with_the_best_is_marked_and_says_how_sure() -> None:
    values = {str(i): 20.0 + i % 3 for i in range(30)}
    better = {
        image: value + (-1) ** (int(image) + 1) * (int(image) + 1) / 50
        for image, value in values.items()
    }
    rows = (Row("a", "A", {"psnr": values}, 30), Row("b", "B", {"psnr": better}, 30))
    table = Table("Tiny", 4, 30, 0, (PSNR,), rows)
    tied, best = (shown_cell(cell, PSNR, table) for (cell,) in table.cells)
    assert (best.tied, tied.tied) == (False, True)
    assert dict(tied.details)["Like the best"].endswith(", a tie")
    assert "95 % interval" in dict(tied.details)


def test_the_gallery_knows_every_layer_picture_and_value(large: Section) -> None:
    (gallery,) = gallery_of([large])
    keys = [layer["key"] for layer in gallery["layers"]]
    assert keys == ["lr", *(run.folder.name for run in large.runs), "gt"]
    assert [layer["method"] for layer in gallery["layers"]] == [
        "",
        "dpi",
        "dpi",
        "dpi",
        "other",
        "",
    ]
    other = gallery["layers"][4]
    assert other["pictures"][-1] is None
    assert other["pictures"][0] == large.runs[3].records()[gallery["images"][0]].sha256[:20]
    lpips, psnr, *_ = gallery["metrics"]
    assert [metric["protocol"] for metric in gallery["metrics"]] == ["strict"] * 2 + ["paper"] * 2
    assert lpips["values"][keys[4]][:2] == [1, 0.999]
    assert lpips["values"][keys[4]][-2:] == [None, None]
    assert lpips["notes"] == {keys[4]: {FACES - 2: MARKUP}}
    assert keys[4] not in psnr["values"]


def test_the_gallery_has_no_costs_and_rounds_to_what_sorting_needs(large: Section) -> None:
    strict = large.tables[0]
    first = next(iter(large.testset.entries))
    rows = tuple(
        replace(row, scores={"lpips": {first: 1 / 3}, "seconds": {first: 1.0}})
        for row in strict.rows
    )
    table = replace(strict, columns=(LPIPS, *COSTS), rows=rows)
    (metric,) = gallery_of([replace(large, tables=[table])])[0]["metrics"]
    assert metric["title"] == "LPIPS"
    assert metric["values"][large.runs[0].folder.name][:2] == [0.333333, None]


def test_facts_are_flattened_to_words() -> None:
    value = {"a": 1, "b_c": {"d": [1, 2], "e": {"f": "g"}}, "none": None, "yes": True}
    assert list(flattened(value)) == [
        ("a", "1"), ("b c d", "[1, 2]"), ("b c e f", "g"), ("yes", "true"),
    ]  # fmt: skip


def test_provenance_has_the_hashes_of_test_set_and_runs(large: Section) -> None:
    testset, *runs = provenance_of([large])
    assert testset.hash == large.testset.manifest.sha256
    assert [run.hash for run in runs] == [run.spec.identity for run in large.runs]
    assert dict(runs[1].groups)["What was run"][2] == ("settings tau", "100")


def test_a_resumed_run_says_so(tmp_path: Path) -> None:
    testset = small_testset(tmp_path, 1)
    run = run_of(tmp_path, testset, "dpi", "DPI")
    run.note_resume({"started": "2026-01-01", "commit": "def"})
    facts = provenance_of([Section(testset, [[run]], [])])[1]
    assert dict(facts.groups)["Resumed 2026-01-01"][1] == ("commit", "def")


def test_the_raw_numbers_are_there_at_full_precision(large: Section) -> None:
    rows = list(csv.DictReader(io.StringIO(images_csv([large]))))
    assert len(rows) == 2 * 4 * FACES
    assert rows[1]["lpips"] == "0.001"
    assert rows[1]["run"] == large.runs[0].spec.identity
    assert rows[4 * FACES - 1] | {"image": ""} == {
        "test_set": "tiny-16-x4", "protocol": "strict", "method": "other", "title": MARKUP,
        "run": large.runs[3].spec.identity, "image": "", "lpips": "", "psnr": "",
    }  # fmt: skip
    means = list(csv.DictReader(io.StringIO(to_csv([*large.tables, *large.tables]))))
    assert len(means) == 2 * 2 * 4 * 3
    assert {row["protocol"] for row in means} == {"strict", "paper"}


def test_infinite_raw_numbers_are_those_of_other_tables(large: Section) -> None:
    first, second, *_ = large.testset.entries
    rows = tuple(
        replace(row, scores={"psnr": {first: math.inf, second: math.nan}})
        for row in large.tables[0].rows
    )
    lines = csv.DictReader(
        io.StringIO(images_csv([replace(large, tables=[replace(large.tables[0], rows=rows)])]))
    )
    assert [line["psnr"] for line in lines][:3] == ["Infinity", "", ""]


def in_folder(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_results_give_the_same_folder(tmp_path: Path, large: Section) -> None:
    index = write_page(tmp_path / "page", [large])
    assert index == tmp_path / "page" / "index.html"
    first = in_folder(tmp_path / "page")
    pictures = {name for name in first if name.startswith("pictures/")}
    assert len(pictures) == 3 * FACES  # LR, GT, and what all runs share, once
    assert first.keys() - pictures == {"index.html", "images.csv", "means.csv"}
    write_page(tmp_path / "page", [large])
    assert in_folder(tmp_path / "page") == first


def test_pictures_are_the_very_files_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testset = small_testset(tmp_path, 2)
    run, other = (run_of(tmp_path, testset, name, name, images=1) for name in ("dpi", "other"))
    other.write({"face-1": picture(5)}, 1.0, 1)
    folder = tmp_path / "page"

    def names(*shown: Any) -> set[str]:
        write_page(folder, [Section(testset, [[r] for r in shown], [empty(len(shown))])])
        return {path.name for path in (folder / "pictures").iterdir()}

    def empty(rows: int) -> Table:
        return Table("Tiny", 4, 2, 0, (), tuple(Row("a", "A", {}, 1) for _ in range(rows)))

    both = names(run, other)
    entry = testset.entries["face-0"]
    digest, source = str(entry.hr_sha256)[:20], testset.folder / str(entry.hr)
    assert (folder / "pictures" / f"{digest}.png").samefile(source)
    (folder / "pictures" / "mine.txt").write_text("kept")
    assert names(run) - {"mine.txt"} < both

    def refuse(*paths: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (folder / "pictures" / f"{digest}.png").unlink()
    names(run)
    copy = folder / "pictures" / f"{digest}.png"
    assert not copy.samefile(source)
    assert copy.read_bytes() == source.read_bytes()


def test_large_pictures_have_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_pictures, "THUMBNAIL", 8)
    monkeypatch.setattr("bench.report.page.content.THUMBNAIL", 8)
    testset = small_testset(tmp_path, 2)
    run = run_of(tmp_path, testset, "dpi", "DPI")
    section = Section(testset, [[run]], [Table("Tiny", 4, 2, 0, (), (Row("a", "A", {}, 2),))])
    write_page(tmp_path / "page", [section])
    layers = gallery_of([section])[0]["layers"]
    assert [layer["thumbnails"] for layer in layers] == [False, True, True]  # LR has 4 px
    there = {path.stem for path in (tmp_path / "page" / "thumbnails").iterdir()}
    assert there == {*layers[1]["pictures"], *layers[2]["pictures"]}
    with Image.open(next((tmp_path / "page" / "thumbnails").iterdir())) as picture:
        assert (picture.format, picture.size) == ("JPEG", (8, 8))


def test_what_is_no_page_of_ours_is_not_replaced(tmp_path: Path, large: Section) -> None:
    index = tmp_path / "index.html"
    index.write_text("<h1>Mine</h1>")
    with pytest.raises(BenchError, match=r"index\.html exists and is not a page of bench"):
        write_page(tmp_path, [large])
    assert in_folder(tmp_path) == {"index.html": b"<h1>Mine</h1>"}


def test_the_policy_names_exactly_what_is_in_the_page(large: Section) -> None:
    html = render([large])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    policy = policy.replace("&#39;", "'")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for kind, pattern in (
        ("script-src", r"<script>(.*?)</script>"),
        ("style-src", r"<style>(.*?)<"),
    ):
        texts = re.findall(pattern, html, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts]
        assert rules.pop(kind) == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert rules == {
        "default-src": "'none'", "img-src": "'self' file: data:", "base-uri": "'none'",
        "form-action": "'none'",
    }  # fmt: skip


def test_no_text_can_leave_its_place(tmp_path: Path) -> None:
    html = render(sections(tmp_path))
    assert len(re.findall(r"<script", html)) == 3
    assert "<img src=x" not in html
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    assert json.loads(data)[0]["layers"][4]["title"] == MARKUP
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(|@import""", html)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with results on two test sets, one of them measured by both protocols."""
    (tmp_path / "bench.toml").write_text('size = 16\nmethods = ["bicubic"]\nmetrics = ["psnr"]\n')
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", 3)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    good("run", "--protocol", "both")
    good("prepare", "celeba", "--source", "photos", "--scale", 2)
    good("run")
    good("prepare", "celeba", "--source", "photos", "--scale", 8)
    return tmp_path


def captions(page: Path) -> list[str]:
    html = (page / "index.html").read_text()
    return re.findall(r"<figcaption>(celeba.*?)</figcaption>", html)


def test_report_writes_a_page_of_all_test_sets_that_have_results(home: Path) -> None:
    said = good("report", "--testset", "celeba-16-x4", "--html", "page").err
    assert said == "The page: page/index.html\n"
    assert captions(home / "page") == [
        "celeba, 16 px, \N{MULTIPLICATION SIGN}4, N = 3, seed 0, strict protocol",
        "celeba, 16 px, \N{MULTIPLICATION SIGN}4, N = 3, seed 0, paper protocol",
    ]
    good("run")
    good("report", "--html", "page")
    assert [caption.split(", ")[2] for caption in captions(home / "page")] == [
        f"\N{MULTIPLICATION SIGN}{scale}" for scale in (2, 4, 4, 8)
    ]
    assert "Time (s/image)" in (home / "page" / "index.html").read_text()


def test_test_sets_on_which_a_method_has_no_results_are_left_out(home: Path) -> None:
    (made,) = (home / "results" / "celeba-16-x2").glob("*/images")
    good("import", "own", made, "--testset", "celeba-16-x8")
    good("report", "own", "--html", "page")
    assert [caption.split(", ")[2] for caption in captions(home / "page")] == [
        "\N{MULTIPLICATION SIGN}8"
    ]


def test_open_opens_the_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    said = good("report", "--testset", "celeba-16-x2", "--open").err
    assert opened == [(home / "results" / "page" / "index.html").as_uri()]
    assert "results/page/index.html" in said


def test_a_folder_that_cannot_be_is_refused(home: Path) -> None:
    outcome = command("report", "--testset", "celeba-16-x2", "--html", "bench.toml")
    assert outcome.code == 1
    assert "error: " in outcome.err


def test_a_picture_is_hashed_once_and_a_column_tested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shade_workspace(tmp_path))
    good("sweep", "shade", "--dark", 1)
    hashed: Counter[Path] = Counter()
    tested = []

    def counted(path: Path) -> str:
        hashed[path] += 1
        return sha256_file(path)

    def noted(scores: Array, higher_is_better: bool) -> list[Standing]:
        tested.append(higher_is_better)
        return standings(scores, higher_is_better)

    monkeypatch.setattr(bench.store.run, "sha256_file", counted)
    monkeypatch.setattr(bench.report.tables.table, "standings", noted)
    here = workspace()
    save_page(here, None, None, (), chosen_metrics(here), tmp_path / "page", show=False)
    assert sorted(hashed.values()) == [1] * 4  # two runs of two images
    # PSNR, PSNR on LR, seconds and calls, in the tables of two protocols
    assert tested == [True, True, False, False] * 2
