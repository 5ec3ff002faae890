"""The commands about test sets: several at once, of the world, of one's own, verified and shown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.core.files import write_bytes
from bench.images import encode_png, read_image, resize_bicubic
from bench.testsets.degradation import Parameters, degrade
from bench.testsets.manifest import open_testset
from tests.command import bench as command
from tests.command import good
from tests.small import photos, picture

CONFIG = 'size = 32\nbatch = 4\nmethods = ["bicubic"]\nmetrics = ["psnr", "ssim"]\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own with photographs, which is the current folder."""
    (tmp_path / "bench.toml").write_text(CONFIG)
    photos(tmp_path / "photos", count=5, size=40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def prepare(*options: str | int, dataset: str = "ffhq") -> str:
    return good("prepare", dataset, "--source", "photos", "--size", 32, *options).out


def test_several_scales_in_one_call_are_the_sets_of_several_calls(home: Path) -> None:
    out = prepare("--scale", 4, 8, 16).splitlines()
    assert out.pop(3).startswith("Note: ffhq-32-x16: 5 of the 5 LR images hold fewer than 4 x 4")
    assert [line.split()[0] for line in out[1:]] == [f"ffhq-32-x{scale}" for scale in (4, 8, 16)]
    together = {f.name: open_testset(f).manifest.sha256 for f in (home / "testsets").glob("ffhq*")}
    shutil.rmtree(home / "testsets")
    for scale in (8, 16, 4):
        prepare("--scale", scale)
    apart = {f.name: open_testset(f).manifest.sha256 for f in (home / "testsets").glob("ffhq*")}
    assert apart == together
    assert len(together) == 3
    assert "Test set: ffhq-32-x4 (the last one" in good("run").err


def test_one_of_several_scales_that_is_there_is_kept() -> None:
    prepare("--scale", 8)
    out = prepare("--scale", 4, "--scale", 8)
    assert "ffhq-32-x4 is ready" in out
    assert "ffhq-32-x8 already exists and is intact" in out
    refused = command("prepare", "ffhq", "--source", "photos", "--scale", 4, 8, "--name", "x")
    assert (refused.code, "--name names one test set" in refused.err) == (2, True)


@pytest.mark.parametrize("name", ["blind", "severe"])
def test_a_blind_picture_follows_from_the_manifest_alone(home: Path, name: str) -> None:
    prepare("--degradation", name)
    folder = home / "testsets" / f"ffhq-32-{name}"
    images = json.loads((folder / "manifest.json").read_text())["images"]
    assert len({image["parameters"]["noise"] for image in images}) == 5
    for image in images:
        hr, lr = (read_image(folder / image[part]) for part in ("hr", "lr"))
        np.testing.assert_array_equal(degrade(hr, Parameters(**image["parameters"])), lr)


def test_a_blind_picture_depends_on_no_other(home: Path) -> None:
    """As the last of five and as the only one it has the same bytes."""
    prepare("--degradation", "blind", "--name", "all")
    write_bytes(home / "other" / "face-4.png", (home / "photos" / "face-4.png").read_bytes())
    good("prepare", "ffhq", "--source", "other", "--degradation", "blind", "--name", "one")
    entries = [open_testset(home / "testsets" / n).entries["face-4"] for n in ("all", "one")]
    assert entries[0] == entries[1]


def test_another_seed_draws_another_blind_set_but_no_other_bicubic_one(home: Path) -> None:
    prepare("--degradation", "blind", "--name", "blind-0")
    prepare("--name", "bicubic-0")
    (home / "bench.toml").write_text(f"seed = 7\n{CONFIG}")
    prepare("--degradation", "blind", "--name", "blind-7")
    prepare("--name", "bicubic-7")
    sets = {f.name: open_testset(f) for f in (home / "testsets").iterdir() if f.is_dir()}
    assert sets["bicubic-0"].manifest.sha256 == sets["bicubic-7"].manifest.sha256
    lr = [sets[name].entries["face-0"].lr_sha256 for name in ("blind-0", "blind-7")]
    assert lr[0] != lr[1]


def test_an_input_of_the_results_size_has_a_row_of_its_own_name(home: Path) -> None:
    prepare("--degradation", "severe")
    good("run")
    table = good("report").out
    assert "Input" in table
    assert "Bicubic" not in table
    assert "ffhq, 32 px, severe" in table
    good("report", "--strip", "strip.png")
    prepare("--scale", 4)
    good("run")
    assert "Bicubic" in good("report").out


def test_photographs_of_the_world_run_and_are_reported_without_a_truth(home: Path) -> None:
    write_bytes(home / "photos" / "small.png", encode_png(picture(9, 20)))  # enlarged: an input
    out = prepare(dataset="webphoto")
    assert "webphoto-32-real is ready: 6 images, LR 32 px, no ground truth" in out
    testset = open_testset(home / "testsets" / "webphoto-32-real")
    assert not (testset.folder / "hr").exists()
    np.testing.assert_array_equal(testset.lr("small"), resize_bicubic(picture(9, 20), 32))
    assert "bicubic: 6 images restored" in good("run").out
    table = good("report").out
    assert "Input" in table
    assert "The test set has no ground truth to compare with." in table
    for kind in ("--csv", "--latex", "--markdown", "--json"):
        good("report", kind)
    good("report", "--strip", "strip.png")
    good("sheet", "sheet.png")
    assert "6 files are intact" in good("verify", "webphoto-32-real").out


def test_without_a_truth_metrics_work_that_need_none(home: Path) -> None:
    metrics = ["psnr", "fid", "is", "faces-dlib", "lr-psnr"]
    (home / "bench.toml").write_text(f'methods = ["bicubic"]\nmetrics = {metrics}\n')
    prepare(dataset="webphoto")
    told = good("run").err
    assert "No PSNR: The test set has no ground truth to compare with." in told
    assert "No FID: inception-2015" in told  # compared with FFHQ, not with originals
    assert "No IS: weights-inception" in told
    assert "No LR-PSNR: Degradation 'real' cannot be applied" in told
    (row,) = json.loads(good("report", "--json").out)["methods"]
    assert row["scores"]["faces-dlib"]["value"] == 0.0  # there are none in noise
    assert row["scores"]["psnr"]["reason"].startswith("The test set has no ground truth")
    assert command("evaluate", "--require-all", "--metric", "psnr").code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("webphoto", "--degradation", "blind"), "since WebPhoto has no ground truth to degrade"),
        (("webphoto", "--scale", 4), "--scale applies to bicubic only: real inputs have the size"),
        (
            ("ffhq", "--degradation", "blind", "--scale", 4),
            "--scale applies to bicubic only: blind",
        ),
        (("ffhq", "--degradation", "real"), "There is no degradation 'real' here: choose bicubic"),
        (("ffhq", "--scale", 4, 5), "Scale 5 does not divide 32 px"),
    ],
)
def test_what_does_not_go_together_is_refused(
    home: Path, options: tuple[str | int, ...], message: str
) -> None:
    outcome = command("prepare", *options, "--source", "photos")
    assert (outcome.code, message in outcome.err) == (2, True), outcome
    assert not (home / "testsets").exists()


def test_a_folder_of_ones_own_becomes_a_recipe(home: Path) -> None:
    shutil.copytree(home / "photos", home / "elsewhere" / 'of "mine"')
    add = ("datasets", "add", "my-faces", home / "elsewhere" / 'of "mine"', "--size", 32)
    assert f"Wrote {home / 'datasets' / 'my-faces.toml'}" in good(*add, "--licence", "mine").out
    assert "is ready: 5 images" in good("prepare", "my-faces", "--scale", 4).out
    listed = good("datasets").out
    assert "my-faces     my-faces: mine" in listed
    assert "prepared: my-faces-32-x4" in listed
    assert "sample       Sample: " in listed
    photos(home / "photos", 2, size=40)
    changed = home / "elsewhere" / 'of "mine"' / "face-4.png"
    changed.rename(changed.with_name("another.png"))
    out = good("prepare", "my-faces", "--scale", 8).out
    assert "Note: The image names differ from my-faces's list." in out


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("../x", "photos", "'../x' can't be a recipe's name"),
        ("ffhq", "photos", "There is a recipe ffhq already"),
        ("mine", "nothing", "nothing does not exist: give"),
    ],
)
def test_a_recipe_that_cannot_be_is_not_written(
    home: Path, name: str, path: str, message: str
) -> None:
    assert message in command("datasets", "add", name, path).err
    assert not (home / "datasets").exists()


def test_the_sample_is_the_release_that_its_recipe_knows() -> None:
    out = good("prepare", "sample", "--size", 64).out
    assert "Note" not in out
    assert "40 images" in out


def test_photographs_are_aligned_on_the_way() -> None:
    out = good("prepare", "sample", "--align", "--size", 64, "--count", 2, "--scale", 4).out
    assert "sample-64-x4-aligned is ready: 2 images" in out
    good("prepare", "sample", "--size", 64, "--count", 2, "--scale", 4)
    aligned, plain = (
        open_testset(Path("testsets") / f"sample-64-x4{suffix}") for suffix in ("-aligned", "")
    )
    assert aligned.manifest.sha256 != plain.manifest.sha256
    # The sample is framed like FFHQ already, so little moves: the pictures stay alike.
    gap = aligned.hr("face-00").astype(float) - plain.hr("face-00")
    assert 0 < np.sqrt(np.mean(gap**2)) < 40


def test_verify_reports_every_difference_of_results(home: Path) -> None:
    prepare("--scale", 4)
    prepare("--scale", 8)
    good("run", "--testset", "ffhq-32-x4")
    good("run", "--testset", "ffhq-32-x8")
    assert "2 runs in results: 10 files are intact." in good("verify", "results").out
    (run,) = (home / "results" / "ffhq-32-x4").iterdir()
    (run / "images" / "face-0.png").write_bytes(encode_png(picture(0, 32)))
    (run / "images" / "face-1.png").unlink()
    (run / "images" / "extra.png").write_bytes(b"")
    outcome = command("verify", "results")
    assert outcome.code == 1
    images = Path("results") / "ffhq-32-x4" / run.name / "images"
    origins = [
        f"{path}: test set {path.parent.name} (" for path in sorted(Path("results").glob("*/*"))
    ]
    for line, origin in zip(outcome.out.splitlines(), origins, strict=False):
        assert line.startswith(origin)
    assert outcome.out.splitlines()[len(origins) :] == [
        f"{images / 'face-0.png'} has changed.",
        f"{images / 'face-1.png'} is missing.",
        f"{images / 'extra.png'} is not in the records.",
    ]
    description = json.loads((run / "run.json").read_text())
    description["spec"]["seed"] = 99
    (run / "run.json").write_text(json.dumps(description))
    assert "run.json does not match its identity" in command("verify", str(run)).out
    good("verify", "results/ffhq-32-x8")


def test_a_contact_sheet_has_every_pair(home: Path) -> None:
    prepare("--scale", 4)
    assert good("sheet", "sheet.png", "--faces", 5).out == "Saved sheet.png\n"
    sheet = read_image(home / "sheet.png")
    assert sheet.shape[1] > 8 * 128  # four pairs in a row
    assert 2 * 128 < sheet.shape[0] < 3 * 128
    corner = sheet[-100:-10, -100:-10]
    assert (corner == corner[0, 0]).all()  # no sixth face
