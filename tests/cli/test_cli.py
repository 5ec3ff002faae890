"""The commands of the product, end to end on small pictures."""

import csv
import io
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor

import bench.methods.catalogue
from bench import metrics
from bench.images import read_image, resize_bicubic, resize_bicubic_batch
from bench.methods import Method, Problem
from bench.networks.checkpoints import read_checkpoint
from bench.training import architectures, tasks
from bench.training.processes import native_precision
from tests.command import bench as command
from tests.command import good
from tests.small import TINY_CORRECTOR, TINY_PRIOR, TINY_SR3, photos, picture

CONFIG = """
size = 16
batch = 2
methods = ["bicubic"]
metrics = ["psnr", "ssim"]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own, which is the current folder, and an empty cache."""
    (tmp_path / "bench.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def prepared(home: Path) -> Path:
    """The folder of a prepared test set of four pictures."""
    photos(home / "photos", count=4, size=16)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    return home / "testsets" / "celeba-16-x4"


def config(home: Path, text: str) -> None:
    (home / "bench.toml").write_text(text)


def test_prepare_builds_and_then_confirms(home: Path) -> None:
    photos(home / "photos", count=4, size=16)
    options = ("prepare", "celeba", "--source", "photos", "--scale", 4, "--count", 3)
    first = good(*options).out
    folder = home / "testsets" / "celeba-16-x4"
    assert first.splitlines() == [
        f"HR size 16 px, from {home / 'bench.toml'}; override it with --size.",
        f"celeba-16-x4 is ready: 3 images, LR 4 px, HR 16 px, in {folder}",
    ]
    assert "already exists and is intact: 3 images" in good(*options).out
    assert read_image(folder / "lr" / "face-2.png").shape == (4, 4, 3)


def test_prepare_takes_size_and_name_from_its_options(home: Path) -> None:
    photos(home / "photos", count=1, size=24)
    options = ("--size", 24, "--scale", 6, "--name", "mine")
    lines = good("prepare", "ffhq", "--source", "photos", *options).out.splitlines()
    assert lines == [
        "Note: FFHQ1000 has 1000 images, this test set 1.",
        f"mine is ready: 1 images, LR 4 px, HR 24 px, in {home / 'testsets' / 'mine'}",
    ]


@pytest.mark.usefixtures("prepared")
def test_run_and_report(home: Path) -> None:
    out = good("run", "bicubic").out.splitlines()
    assert out[0].startswith("bicubic: 4 images restored, in ")
    assert out[-1] == "`bench report` prints the table."
    assert good("run").out.startswith("bicubic: was done already, in ")
    table = good("report").out
    assert "Bicubic" in table
    assert "PSNR" in table
    assert "SSIM" in table
    expected = [
        metrics.find("psnr").score([resize_bicubic(resize_bicubic(hr, 4), 16)], [hr])[0]
        for hr in (picture(seed) for seed in range(4))
    ]
    assert f"{sum(expected) / 4:.2f}" in table


@pytest.mark.usefixtures("prepared")
def test_every_format_has_the_same_numbers() -> None:
    good("run")
    (row,) = json.loads(good("report", "--json").out)["methods"]
    assert (row["title"], row["images_done"]) == ("Bicubic", 4)
    mean = f"{row['scores']['psnr']['value']:.2f}"
    latex = good("report", "--latex").out
    assert r"\toprule" in latex
    assert r"\bottomrule" in latex
    rows = list(csv.reader(io.StringIO(good("report", "--csv").out)))
    assert any("Bicubic" in cell for row in rows for cell in row)
    markdown = good("report", "--markdown").out
    assert markdown.count("|") > 6
    for text in (latex, markdown, good("report").out, good("report", "--csv").out):
        assert mean in text


@pytest.mark.usefixtures("prepared")
def test_report_saves_a_strip_and_keeps_its_table_clean(home: Path) -> None:
    good("run")
    outcome = good("report", "--csv", "--strip", "out/strip.png", "--faces", 2)
    assert "Saved out/strip.png" in outcome.err
    assert "Saved" not in outcome.out
    strip = read_image(home / "out" / "strip.png")
    assert strip.shape[1] > strip.shape[0]  # LR, Bicubic and GT of two faces


def test_the_test_set_is_the_one_named_else_bench_tomls_else_the_last(
    home: Path, prepared: Path
) -> None:
    good("prepare", "celeba", "--source", "photos", "--scale", 2)
    assert "Test set: celeba-16-x2 (the last one prepared)" in good("run").err
    config(home, f'testset = "celeba-16-x4"\n{CONFIG}')
    assert f"Test set: celeba-16-x4 ({home / 'bench.toml'})" in good("run").err
    assert "Test set" not in good("run", "--testset", "celeba-16-x2").err
    assert len(list((home / "results").glob("*/bicubic-*"))) == 2


@pytest.mark.usefixtures("prepared")
def test_commands_work_in_folders_below(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(home / "a" / "b")
    good("run")
    assert (home / "results" / "celeba-16-x4").is_dir()


@pytest.mark.usefixtures("prepared")
def test_a_metric_that_cannot_be_computed_is_told_and_the_rest_is_scored(home: Path) -> None:
    config(home, CONFIG.replace('"ssim"', '"lpips-vgg"'))
    assert "No LPIPS" in good("run").err
    assert "weights get lpips" in good("evaluate").err
    assert "PSNR" in good("report").out


def test_verify_lists_every_difference(prepared: Path) -> None:
    assert "celeba-16-x4: 8 files are intact." in good("verify", prepared.name).out
    (prepared / "hr" / "face-1.png").unlink()
    (prepared / "lr" / "face-2.png").write_bytes(b"")
    (prepared / "lr" / "stranger.png").write_bytes(b"")
    outcome = command("verify", prepared.name)
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        f"{prepared / 'hr' / 'face-1.png'} is missing.",
        f"{prepared / 'lr' / 'face-2.png'} has changed.",
        f"{prepared / 'lr' / 'stranger.png'} is not in the manifest.",
    ]
    assert "error: 3 files of celeba-16-x4 have changed or are missing." in outcome.err
    assert command("run").code == 1  # no results on a test set that is not what it was


@dataclass(frozen=True)
class NoSettings:
    """There is nothing to set."""


def method(restore: Callable[[Problem, NoSettings], Tensor]) -> Method[NoSettings]:
    return Method("bicubic", "Bicubic", lambda scale: NoSettings(), restore)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_keeps_what_is_done_and_the_same_command_goes_on(
    home: Path,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    calls = []

    def stopped(problem: Problem, settings: NoSettings) -> Tensor:
        calls.append(problem.images)
        if len(calls) == 2:
            signal.raise_signal(number)
        return resize_bicubic_batch(problem.lr, problem.size)

    with monkeypatch.context() as patch:
        patch.setattr(bench.methods.catalogue, "find_method", lambda name: method(stopped))
        outcome = command("run")
    assert outcome.code == code
    assert outcome.err.splitlines()[-1] == (
        "Stopped. Finished work is kept; run the same command to resume."
    )
    done = sorted(path.name for path in (home / "results").rglob("*.png"))
    assert done == ["face-0.png", "face-1.png"]
    assert "bicubic: 2 images restored" in good("run").out


@pytest.mark.parametrize("fail_fast", [False, True])
def test_an_image_that_fails_is_told_by_every_command(
    home: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, fail_fast: bool
) -> None:
    def blind_to_one(problem: Problem, settings: NoSettings) -> Tensor:
        if "face-1" in problem.images:
            raise ValueError("no face")
        return resize_bicubic_batch(problem.lr, problem.size)

    with monkeypatch.context() as patch:
        patch.setattr(bench.methods.catalogue, "find_method", lambda name: method(blind_to_one))
        outcome = command("run", *(["--fail-fast"] if fail_fast else []))
    assert outcome.code == 1
    told = "bicubic failed on 1 image: face-1: ValueError: no face ("
    assert told in outcome.err
    folder = home / "results" / "celeba-16-x4"
    done = sorted(path.name for path in folder.rglob("*.png"))
    if fail_fast:
        assert done == ["face-0.png"]
        return
    assert done == ["face-0.png", "face-2.png", "face-3.png"]
    assert outcome.out.startswith("bicubic: 3 images restored, 1 failed, in ")
    assert "Run the same command to retry." in outcome.err
    report = good("report").out
    assert "Bicubic (3/4)" in report
    assert "Bicubic failed on 1 of the images, such as face-1: ValueError: no face" in report
    assert "bicubic: 1 images restored" in good("run").out
    assert "failed" not in good("report").out


EMBEDDED = Path(bench.__file__).parent / "checkpoints" / "prior-64.safetensors"


@pytest.mark.skipif(not EMBEDDED.is_file(), reason="no prior is embedded yet")
def test_a_method_runs_with_the_embedded_prior(home: Path) -> None:
    photos(home / "photos", count=2, size=100)  # 64 px in the prior's framing
    good("prepare", "celeba", "--source", "photos", "--size", 64)
    out = good("run", "ddnm", "--set", "ddnm.steps=2", "--seed", 5).out
    assert out.startswith("ddnm: 2 images restored, in ")
    (folder,) = (home / "results" / "celeba-64-x8").iterdir()
    spec = json.loads((folder / "run.json").read_text())["spec"]
    assert (spec["settings"]["steps"], spec["seed"]) == (2, 5)
    assert spec["weights"].keys() == {"prior"}
    data = json.loads(good("report", "ddnm", "--json").out)
    assert [row["title"] for row in data["methods"]] == ["DDNM"]


def test_networks_are_trained_and_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "PRIOR_64", TINY_PRIOR)
    monkeypatch.setattr(architectures, "CORRECTOR_64", TINY_CORRECTOR)
    monkeypatch.setattr(architectures, "SR3_64", TINY_SR3)
    monkeypatch.setattr(tasks, "PREVIEW_STEPS", 2)
    photos(home / "photos", count=4, size=16)
    good("prepare", "celeba", "--source", "photos", "--scale", 4)
    shared = ("--data", "photos", "--out", "nets", "--size", 16, "--steps", 2, "--batch", 2)
    assert good("train", "prior", *shared).out == "Wrote nets/prior-16.safetensors\n"
    card = read_checkpoint(home / "nets" / "prior-16.safetensors", "prior").card
    assert card.training is not None
    assert card.training["precision"] == native_precision()
    more = (*shared[:-4], "--steps", 3, "--batch", 2, "--precision", "bfloat16", "--every", 1)
    good("train", "prior", *more, "--out", "other", "--steps", 2)
    assert good("train", "prior", *more, "--out", "other").out.startswith("Wrote")  # it goes on
    crt = ("train", "crt", *shared, "--scale", 4, "--form", "released")
    assert good(*crt).out == "Wrote nets/corrector-16-x4.safetensors\n"
    training = read_checkpoint(home / "nets" / "corrector-16-x4.safetensors", "corrector").card
    assert training.training is not None
    assert training.training["objective"] == "released"
    sr3 = ("train", "sr3", *shared, "--scale", 4, "--norm", "l2", "--dataset", "celeba")
    assert "did you mean 'celeba'" in command(*sr3[:-1], "celeb").err
    assert good(*sr3).out == "Wrote nets/sr3-16-x4.safetensors\n"
    chosen = ("--set", "sr3.steps=2", "--weights", "sr3=nets/sr3-16-x4.safetensors")
    assert good("run", "sr3", *chosen).out.startswith("sr3: 4 images restored, in ")
    assert "was trained on celeba, as its card states." in good("report", "sr3").out
    config(home, f'{CONFIG}\n[weights]\nprior = "nets/prior-16.safetensors"\n')
    (home / "below").mkdir()
    monkeypatch.chdir(home / "below")  # bench.toml's paths count from its own folder
    trained = "../nets/corrector-16-x4.safetensors"
    out = good("run", "dpi", "--set", "dpi.steps=2", "--corrector", trained).out
    assert out.startswith("dpi: 4 images restored, in ")


@pytest.mark.usefixtures("prepared")
def test_run_all_takes_every_method_that_can_run(home: Path) -> None:
    # At 16 px there is no network, so that only methods without needs are left.
    (home / "baselines").mkdir()
    source = Path(bench.methods.catalogue.__file__).parents[2] / "baselines" / "bicubic.py"
    text = source.read_text().replace('name="bicubic"', 'name="mine"')
    (home / "baselines" / "mine.py").write_text(text)
    out = good("run", "--all").out
    assert [line.split(":")[0] for line in out.splitlines() if "restored, in" in line] == [
        "bicubic",
        "mine",
    ]


def test_all_and_names_exclude_each_other() -> None:
    result = command("run", "bicubic", "--all")
    assert result.code == 2
    assert result.err == "error: --all and bicubic exclude each other: choose one.\n"
