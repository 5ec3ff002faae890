"""`bench methods`: all of them, with what is missing here, as a table and as JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.methods import method_names
from tests.command import bench as command
from tests.command import good
from tests.small import small_testset


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own, which is the current folder, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_every_method_is_in_the_table_with_its_facts() -> None:
    lines = good("methods").out.splitlines()
    rows = {words[0]: words[1:] for line in lines if (words := line.split())}
    assert rows.keys() >= set(method_names())
    assert rows["bicubic"] == ["plain", "-", "-", "yes"]
    assert rows["ddnm"] == ["zero-shot", "prior", "MIT", "no"]
    assert rows["dpi"][:3] == ["trained", "corrector,", "prior"]
    assert rows["vqfr"] == ["external", "its", "program", "Apache-2.0", "no"]
    missing = next(line for line in lines if line.startswith("  daps, ddnm, ddrm, difface"))
    assert "ffhq_10m.pt is missing: run `bench weights get prior-256`" in missing
    assert "  vqfr: vqfr is not installed: run `bench external setup vqfr`." in lines
    assert "  ilvr: Choi et al., ILVR: Conditioning Method for Denoising" in "\n".join(lines)


def test_whether_they_run_depends_on_the_test_set(home: Path) -> None:
    (home / "bench.toml").write_text("size = 64\n")
    runs = {
        row["name"]: row["runs"] for row in json.loads(good("methods", "--json").out)["methods"]
    }
    assert (runs["ddnm"], runs["dpi"]) == (True, True), "by the embedded networks"
    small_testset(home)
    found = json.loads(good("methods", "--json", "--testset", "tiny-16-x4").out)
    assert (found["size"], found["scale"]) == (16, 4)
    rows = {row["name"]: row for row in found["methods"]}
    assert rows["bicubic"]["runs"]
    assert not rows["ddnm"]["runs"]
    assert "There is no prior for 16 px" in rows["ddnm"]["reason"]
    assert "no test set 'tiny'" in command("methods", "--testset", "tiny").err
    (home / "testsets" / ".last").write_text("removed")
    assert "Methods at 64 px, x8" in good("methods").out


@pytest.mark.parametrize("width", [80, 60])
def test_it_reads_well_in_a_narrow_terminal(width: int) -> None:
    environment = {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}
    lines = CliRunner().invoke(app, ["methods"], env=environment, color=True).stdout.splitlines()
    plain = [strip(line) for line in lines]
    assert "\x1b" in "".join(lines)
    assert max(map(len, plain)) <= width
    words = " ".join(" ".join(plain).split())
    for name in method_names():
        assert f" {name} " in words
    assert "VQFR: Blind Face Restoration with Vector-Quantized Dictionary" in words
    assert "…" not in words, "nothing is cut off"


def strip(line: str) -> str:
    """A line without its colours."""
    return "".join(
        part.partition("m")[2] if i else part for i, part in enumerate(line.split("\x1b"))
    )


def test_a_pipe_gets_no_colours_and_unbroken_texts() -> None:
    out = good("methods").out
    assert "\x1b" not in out
    (paper,) = [
        line for line in out.splitlines() if line.startswith("  pgdiff, pgdiff-512: Yang et al.")
    ]
    assert paper.endswith("Partial Guidance, NeurIPS 2023")
