"""Reference sets from the command line: added, listed, compared with, named under tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.metrics.features.backbones import backbone_path
from tests.command import bench as command
from tests.command import good
from tests.small import photos

CONFIG = """
size = 32
methods = ["bicubic"]
metrics = ["fd-vgg16", "kd-vgg16"]
"""

pytestmark = pytest.mark.skipif(
    not backbone_path("vgg16").is_file(), reason="LPIPS's VGG16 is missing"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run on eight images, and a cache that has VGG16 alone."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "lpips-vgg16.safetensors").symlink_to(backbone_path("vgg16"))
    (tmp_path / "bench.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    photos(tmp_path / "photos", count=8, size=32)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    good("run")
    return tmp_path


def value(metric: str, *options: str) -> float:
    (row,) = json.loads(good("report", "--json", *options).out)["methods"]
    found = row["scores"][metric]["value"]
    assert isinstance(found, float)
    return found


def test_the_originals_as_a_reference_give_what_originals_give() -> None:
    good("reference", "add", "same", "celeba-32-x4", "--keep-features")
    assert "same (8 images), vgg16, from celeba-32-x4" in good("reference", "list").out
    good("evaluate", "--reference", "same")
    for metric in ("fd-vgg16", "kd-vgg16"):
        # Moments in another order of summation, and roots of rank-deficient covariances.
        assert value(metric, "--reference", "same") == pytest.approx(value(metric), rel=1e-6)
    text = good("report", "--reference", "same").out
    assert "distance to the reference set same (8 images), not to originals." in text
    assert "reference set" not in good("report").out


def test_a_folder_is_a_reference_at_the_size_of_the_results(home: Path) -> None:
    photos(home / "clean", count=6, size=48)
    good("evaluate", "--reference", "clean")
    assert value("fd-vgg16", "--reference", "clean") != value("fd-vgg16")
    assert "clean-32px (6 images)" in good("reference", "list").out


def test_bench_toml_and_recipes_name_references(home: Path) -> None:
    good("reference", "add", "same", "celeba-32-x4")
    (home / "bench.toml").write_text('reference = "same"\n' + CONFIG)
    told = good("evaluate").err
    assert "run `bench reference add same celeba-32-x4 --keep-features`" in told
    assert "same (8 images)" in good("report").out
    assert "same (8 images)" not in good("report", "--reference", "originals").out
    (home / "bench.toml").write_text(CONFIG)
    good("prepare", "webphoto", "--source", "photos")
    told = good("run").err
    assert "No FD-VGG16, KD-VGG16: The reference ffhq is missing: run `bench reference" in told


def test_statistics_are_imported_for_one_extractor(home: Path) -> None:
    np.savez(home / "ffhq.npz", mu=np.zeros(3), sigma=np.eye(3))
    out = good("reference", "add", "ffhq", "ffhq.npz", "--images", 70000).out
    assert "ffhq (70,000 images) is ready for pytorch-fid" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "x", "nowhere"), "nowhere does not exist"),
        (("add", "x", "nowhere.npz"), "nowhere.npz does not exist"),
        (("add", "../x", "photos"), "can't be a reference's name"),
        (("add", "originals", "photos"), "can't be a reference's name"),
        (("add", "x", "photos", "--extractor", "vgg"), "no extractor 'vgg': choose clean-fid"),
        (("add", "x", "photos", "--extractor", "clean-fid"), "bench weights get inception"),
        (("add", "x", "s.npz", "--size", 64), "A statistics file has one extractor"),
    ],
)
def test_what_is_no_reference_is_refused(
    words: tuple[str | int, ...], message: str, home: Path
) -> None:
    outcome = command("reference", *words)
    assert outcome.code != 0
    assert message in outcome.err
    assert not list((home / "cache").glob("references/*/reference.json"))


def test_an_unknown_reference_is_refused_with_close_ones() -> None:
    good("reference", "add", "same", "celeba-32-x4")
    outcome = command("report", "--reference", "sane")
    assert outcome.code == 2
    assert "There is no reference 'sane': did you mean 'same'?" in outcome.err
