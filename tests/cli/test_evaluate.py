"""Protocols, repetitions, costs and metrics of sets, as commands show them."""

import csv
import io
import json
from pathlib import Path

import pytest

from bench.images import read_image, resize_bicubic
from bench.metrics.protocol import PAPER_JPEG, STRICT, protocols, through_jpeg
from tests.command import bench as command
from tests.command import good
from tests.small import photos, picture

CONFIG = """
size = 16
batch = 2
methods = ["bicubic"]
metrics = ["psnr", "fid"]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a test set of four pictures, empty caches, and a run."""
    (tmp_path / "bench.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    photos(tmp_path / "photos", count=4, size=16)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    return tmp_path


def mean(*options: str, metric: str = "psnr") -> float:
    (row,) = json.loads(good("report", "--json", *options).out)["methods"]
    value = row["scores"][metric]["value"]
    assert isinstance(value, float)
    return value


def test_both_protocols_are_kept_apart_and_named() -> None:
    good("run")
    good("evaluate", "--protocol", "both")
    sr = resize_bicubic(resize_bicubic(picture(0), 4), 16)
    assert (through_jpeg(sr) != sr).any()
    strict, paper = mean(), mean("--protocol", "paper")
    assert strict != paper
    assert "strict protocol" in good("report").out
    assert "paper protocol" in good("report", "--protocol", "paper").out
    rows = csv.DictReader(io.StringIO(good("report", "--csv", "--protocol", "paper").out))
    assert {row["protocol"] for row in rows} == {"paper"}
    assert json.loads(good("report", "--json").out)["protocol"] == "strict"


def test_what_is_not_evaluated_by_a_protocol_is_a_dash() -> None:
    good("run")
    assert "It was not measured." in good("report", "--protocol", "paper").out


def test_a_metric_without_weights_is_a_dash_with_the_command() -> None:
    outcome = good("run")
    assert "No FID: inception-2015-12-05.pt is missing: run" in outcome.err
    report = good("report").out
    assert "bench weights get inception-clean-fid" in report


def test_require_all_makes_it_an_error() -> None:
    good("run")
    outcome = command("evaluate", "--require-all")
    assert outcome.code == 1
    assert "bench weights get inception-clean-fid" in outcome.err
    good("evaluate", "--require-all", "--metric", "psnr", "--metric", "lr-psnr")
    assert mean("--metric", "lr-psnr", metric="lr-psnr") > 20


def test_repetitions_are_runs_with_noise_of_their_own() -> None:
    out = good("run", "--repeat", 2).out.splitlines()
    assert [line.partition(":")[0] for line in out[:2]] == ["bicubic", "bicubic"]
    report = good("report").out
    assert "Bicubic: means over 2 repetitions" in report


def test_costs_are_columns() -> None:
    good("run")
    methods = json.loads(good("report", "--json", "--costs").out)
    assert [column["per"] for column in methods["metrics"]] == [
        "image",
        "set",
        "image",
        "image",
        "run",
    ]
    (row,) = methods["methods"]
    assert row["scores"]["evaluations"]["value"] == 0
    assert row["scores"]["seconds"]["value"] > 0
    assert row["scores"]["memory"]["value"] > 0.01
    assert "seconds" not in good("report", "--json").out


def test_recognition_settings_of_ones_own(home: Path) -> None:
    (home / "bench.toml").write_text(
        CONFIG.replace('"fid"', '"cs-mine"')
        + '[recognition.mine]\nmodel = "ArcFace"\nthreshold = 0.5\n'
    )
    good("run")
    assert "No CS (mine): arcface_weights.onnx is missing" in good("evaluate").err


def test_protocols_know_how_pictures_were_kept() -> None:
    assert protocols("strict", "celeba") == (STRICT,)
    paper = {recipe: protocols("both", recipe)[1] for recipe in ("celeba", "ffhq")}
    assert (paper["celeba"].jpeg, paper["ffhq"].jpeg) == (True, False)
    assert "celeba" in PAPER_JPEG


def test_jpeg_is_as_pillow_saves_it_by_default(tmp_path: Path) -> None:
    from PIL import Image

    pixels = picture(0, 64)
    Image.fromarray(pixels).save(tmp_path / "x.jpg")
    assert (through_jpeg(pixels) == read_image(tmp_path / "x.jpg")).all()
