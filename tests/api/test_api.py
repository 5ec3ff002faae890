"""`import bench`: lazy, documented by examples that run, and what the command line gives."""

import doctest
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.core.errors import BenchError, WrongUsage
from bench.images import read_image
from tests.command import bench as command
from tests.command import good

SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"
CONFIG = 'size = 64\nmetrics = ["psnr", "ssim"]\n[settings.ddnm]\nsteps = 2\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bench.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_importing_bench_imports_nothing_heavy() -> None:
    program = "import bench, sys; print({'torch', 'numpy', 'pandas', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_every_public_name_is_there_and_documented() -> None:
    for name in bench.__all__:
        found = getattr(bench, name)
        assert found.__doc__
        assert name in dir(bench)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = bench.absent


@pytest.mark.parametrize("module", ["testsets", "results", "images"])
def test_examples_run(module: str) -> None:
    found = doctest.testmod(import_module(f"bench.api.{module}"), extraglobs={"bench": bench})
    assert found.attempted >= 5
    assert found.failed == 0


def test_what_python_gives_is_what_the_command_line_prints() -> None:
    testset = bench.prepare("sample", scale=8, count=3)
    [bicubic, ddnm] = bench.run(["bicubic", "ddnm"], testset)
    assert ddnm.spec.settings["steps"] == 2
    scores = bench.evaluate(testset)
    assert len(scores) == 2 * 3 * 2
    table = bench.table(testset)
    printed = good("report", "--testset", testset.name, "--markdown").out
    assert table.to_markdown() == printed
    assert good("report", "--testset", testset.name, "--latex").out == table.to_latex()
    frame = table.to_dataframe()
    means = scores[scores["metric"] == "psnr"].groupby("method")["value"].mean()
    assert frame.loc["Bicubic", "psnr"] == pytest.approx(means["bicubic"])
    assert "<table" in table._repr_html_()
    assert f"{means['bicubic']:.2f}" in table._repr_html_()
    assert command("run", "bicubic", "ddnm", "--testset", testset.name).code == 0
    assert len(list((bicubic.folder.parent).glob("ddnm-*"))) == 1  # the same run


def test_a_setting_makes_another_run() -> None:
    testset = bench.prepare("sample", scale=8, count=1)
    [one] = bench.run("ddnm", testset)
    [other] = bench.run("ddnm", testset, settings={"ddnm": {"eta": 0.0}})
    assert one.spec.identity != other.spec.identity
    with pytest.raises(WrongUsage, match="no method 'dddnm'"):
        bench.run("dddnm", testset)


def test_restore_gives_what_a_run_gives() -> None:
    testset = bench.prepare("sample", scale=8, count=1)
    image = next(iter(testset.entries))
    [run] = bench.run("ddnm", testset)
    alone = bench.restore("ddnm", testset.lr(image), scale=8, name=image)
    assert np.array_equal(alone, read_image(run.picture(image)))
    other = bench.restore("ddnm", testset.lr(image), scale=8, name="another")
    assert not np.array_equal(alone, other)
    with pytest.raises(WrongUsage, match="is 4x8 pixels: give a square one"):
        bench.restore("bicubic", np.zeros((8, 4, 3), np.uint8))


FACE = read_image(min(SAMPLE.glob("*.png")))
OTHER = read_image(max(SAMPLE.glob("*.png")))
Form = Callable[[Any], Any]


def tensor(pixels: Any) -> torch.Tensor:
    return torch.tensor(pixels).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("form", [lambda p: p, tensor], ids=["array", "tensor"])
def test_a_metric_takes_arrays_and_tensors(form: Form) -> None:
    psnr = bench.metric("psnr")
    expected = 10 * np.log10(255**2 / np.mean((FACE.astype(float) - OTHER) ** 2))
    assert psnr(form(FACE), form(OTHER)) == pytest.approx(expected)


def test_a_metric_takes_files_lists_and_batches(tmp_path: Path) -> None:
    psnr = bench.metric("psnr")
    one = psnr(FACE, OTHER)
    assert psnr(min(SAMPLE.glob("*.png")), str(max(SAMPLE.glob("*.png")))) == one
    assert psnr([FACE, FACE], [OTHER, OTHER]) == [one, one]
    batch = torch.stack([tensor(FACE), tensor(OTHER)])
    assert psnr(batch, batch.flip(0)) == [one, one]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 4), np.uint8), "give uint8"),
        (np.zeros((4, 4, 3)), "An array is float64"),
        (torch.zeros(4, 4, 3), "give floats \\[3, H, W\\]"),
        (torch.full((3, 4, 4), 2.0), "outside of \\[0, 1\\]"),
    ],
)
def test_a_wrong_image_is_refused(image: Any, said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        bench.metric("psnr")(image, FACE)


def test_a_metric_with_a_reference_wants_one() -> None:
    with pytest.raises(WrongUsage, match="PSNR compares with a reference"):
        bench.metric("psnr")(FACE)
    with pytest.raises(BenchError, match="FID has no value for a single pair"):
        bench.metric("fid")
