"""Untrusted files: no code of theirs runs, and no text of theirs steers what shows it."""

import ast
import csv
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.metrics.features.cache import FeatureCache
from bench.networks.checkpoints import read_checkpoint
from bench.networks.kinds import KINDS
from bench.networks.pickles import read_pickle
from bench.training.checkpoint import TrainingCheckpoint
from tests.bad_input.case import run_folder, workspace
from tests.bad_input.weights import RAN, Program, saved
from tests.command import bench, good

ROOT = Path(__file__).parents[2]

LOADERS: dict[str, Callable[[Path], object]] = {
    "a prior": lambda path: read_checkpoint(path, "prior"),
    "SR3": lambda path: read_checkpoint(path, "sr3"),
    "a state dict": read_pickle,
    "a restorer": lambda path: KINDS["gfpgan"].load(path),
    "an unfinished training": lambda path: TrainingCheckpoint(path, {}).load(),
    "features": lambda path: FeatureCache(path.parents[1]).read("x", path.stem),
}


def pickled_array() -> bytes:
    """Return a NumPy file with an array of objects."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([Program()], dtype=object))
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "pickle": lambda: pickle.dumps({"facts": Program()}),
    "PyTorch": lambda: saved({"facts": Program()}),
    "PyTorch of old": lambda: saved({"x": Program()}, _use_new_zipfile_serialization=False),
    "NumPy": pickled_array,
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("loader", LOADERS)
def test_no_code_runs_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "2d711642b726b044" / "odd.npz"  # where features of "x" lie
    write_bytes(path, FILES[file]())
    with pytest.raises(BenchError, match=r"odd\.npz"):
        LOADERS[loader](path)
    assert not (tmp_path / RAN).exists()


def test_these_files_would_run_code_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(saved({"x": Program()})), weights_only=False)
    assert (tmp_path / RAN).exists()


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every call in our code: file, callee and literal arguments."""
    for file in (*(ROOT / "bench").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = {
                    keyword.arg or "": keyword.value.value
                    for keyword in node.keywords
                    if isinstance(keyword.value, ast.Constant)
                }
                yield file.name, ast.unparse(node.func), given


def test_every_loader_in_our_code_is_one_that_runs_none() -> None:
    found = list(calls())
    loads = [given for _, name, given in found if name == "torch.load"]
    assert len(loads) >= 4
    assert all(given.get("weights_only") is True for given in loads)
    arrays = [given for _, name, given in found if name == "np.load"]
    assert all(given.get("allow_pickle") is False for given in arrays)
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "torch.jit.load", "os.system"}
    assert [(file, name) for file, name, _ in found if name in forbidden] == []
    assert [file for file, _, given in found if given.get("shell") is True] == []


# --- Text ----------------------------------------------------------------------------------------

EVIL = "=1+1 \x1b[31m\x9b2J\x07\u202e<script>alert(1)</script> \\input{/etc/passwd} | [b] $x$ `c`"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run whose title is malicious."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    workspace(tmp_path)
    file = run_folder(tmp_path, "mine") / "run.json"
    value = json.loads(file.read_text())
    value["title"] = EVIL
    file.write_text(json.dumps(value))
    return tmp_path


def controls(text: str) -> set[str]:
    return {character for character in text if not character.isprintable()} - {"\n"}


@pytest.mark.parametrize("form", ["", "--csv", "--latex", "--markdown"])
def test_a_table_holds_no_character_that_steers_a_terminal(home: Path, form: str) -> None:
    out = good("report", *form.split()).out
    assert "1+1" in out
    assert controls(out) == set()


def test_a_title_starts_no_formula_and_is_no_markup(home: Path) -> None:
    rows = list(csv.reader(good("report", "--csv").out.splitlines()))
    assert any("1+1" in cell for row in rows for cell in row)
    assert not any(cell.startswith(("=", "+", "@", "-1")) for row in rows for cell in row)
    assert "<script" not in good("report", "--markdown").out
    latex = good("report", "--latex").out
    assert r"\input{" not in latex
    assert r"\textbackslash{}input\{" in latex
    json.loads(good("report", "--json").out)


def test_lists_and_errors_hold_none_either(home: Path) -> None:
    toml = f"title = {json.dumps(EVIL)}\nlicence = {json.dumps(EVIL)}\n"
    recipe = 'origin = "x"\nalignment = "x"\nselection = "x"\n'
    write_bytes(home / "datasets" / "odd.toml", (toml + recipe).encode())
    program = 'repository = "https://localhost/x"\ncommand = ["x"]\n'
    write_bytes(home / "baselines" / "odd.toml", (toml + program).encode())
    datasets, methods = good("datasets").out, good("methods").out
    assert "alert(1)" in datasets
    assert "alert(1)" in methods
    assert controls(datasets) == controls(methods) == set()
    for command in (["prepare", EVIL], ["run", EVIL], ["verify", EVIL], ["run", "--prior", EVIL]):
        outcome = bench(*command, *(["ddnm"] if "--prior" in command else []))
        assert outcome.code in (1, 2)
        assert controls(outcome.err) == set()


def test_names_that_are_no_text_can_be_printed(home: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    outcome = bench("import", "odd", name)
    assert "caf\ufffd is not a folder" in outcome.err
    (home / "made").rename(home / name)
    assert "2 images imported" in good("import", "odd", name).out
    assert "Saved caf\ufffd.png" in good("report", "--strip", f"{name}.png").err
