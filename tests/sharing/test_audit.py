"""From a table's cell back to bytes: a changed one is found, in whichever file it lies."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from bench.core.errors import BenchError
from bench.core.files import BLANK, SEAL, broken_seals, seal, seal_matches, sha256, sha256_file
from bench.diffusion.unet import UNet
from bench.networks.checkpoints import Card, write_checkpoint
from bench.sharing.audit import audit_runs, audit_testset
from bench.store.run import runs_within
from bench.testsets.manifest import read_manifest
from tests.command import bench as command
from tests.command import good
from tests.small import TINY_PRIOR, photos

CONFIG = """\
size = 16
metrics = ["psnr"]
[weights]
prior = "prior.safetensors"
[settings.ddnm]
steps = 2
"""
TESTSET = Path("testsets") / "ffhq-16-x4"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a test set, a checkpoint, a run and its scores, as the current folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("BENCH_CACHE", str(home / "cache"))
        (home / "bench.toml").write_text(CONFIG)
        photos(home / "photos", count=2, size=16)
        torch.manual_seed(0)
        write_checkpoint(
            home / "prior.safetensors", UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR)
        )
        good("prepare", "ffhq", "--source", "photos", "--scale", 4)
        good("run", "ddnm")
        yield home


@contextmanager
def flipped(file: Path, position: int) -> Iterator[None]:
    """A file with its lowest bit changed at one position."""
    before = file.read_bytes()
    after = bytearray(before)
    after[position] ^= 1
    file.write_bytes(after)
    try:
        yield
    finally:
        file.write_bytes(before)


def of(kind: str) -> Path:
    """The file of this kind, in the current folder."""
    (path,) = Path.cwd().glob(kind)
    return path


FILES = [
    "prior.safetensors",
    f"{TESTSET}/manifest.json",
    f"{TESTSET}/hr/face-0.png",
    f"{TESTSET}/lr/face-1.png",
    "results/*/*/run.json",
    "results/*/*/records.parquet",
    "results/*/*/scores.parquet",
    "results/*/*/images/face-0.png",
]


def test_an_untouched_workspace_leads_back_to_its_bytes(home: Path) -> None:
    run, prior = of("results/*/*"), home / "prior.safetensors"
    outcome = good("verify", "results").out.splitlines()
    manifest = read_manifest(home / TESTSET)
    assert outcome[0].startswith(
        f"{run.relative_to(home)}: test set ffhq-16-x4 ({manifest.sha256[:12]}), "
        f"prior ({sha256_file(prior)[:12]} of {prior.resolve()}), revision 1 at "
    )
    assert outcome[1:] == ["1 runs in results: 2 files are intact."]
    (row,) = json.loads(good("report", "--json").out)["methods"]
    origin = row["origin"]
    assert run.name == f"ddnm-{origin['run'][:12]}"
    assert origin["testset"] == manifest.sha256
    assert origin["weights"] == {"prior": sha256_file(prior)}
    assert origin["commit"] == json.loads((run / "run.json").read_text())["provenance"]["commit"]


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_named(home: Path, kind: str) -> None:
    file = of(kind)
    with flipped(file, file.stat().st_size // 2):
        outcome = command("verify", "results")
    assert outcome.code == 1
    assert str(file.relative_to(home)) in outcome.out + outcome.err
    good("verify", "results")


@pytest.mark.parametrize("kind", [file for file in FILES if file.endswith(("json", "parquet"))])
def test_it_is_found_wherever_it_lies(home: Path, kind: str) -> None:
    """In the seal, its name, the numbers, and what no reader looks at."""
    file = of(kind)
    size = file.stat().st_size
    named = file.read_bytes().index(SEAL.encode())
    for position in {*range(0, size, size // 40), *range(named, named + len(SEAL)), size - 1}:
        with flipped(file, position):
            try:
                found = audit_runs(runs_within(Path("results")), Path("testsets")).found
            except BenchError as error:  # so damaged that it can't be read at all
                found = (str(error),)
        elsewhere = f"{file.parent.relative_to(home)} was written by another version"
        names = (str(file.relative_to(home)), elsewhere)
        assert any(name in line for line in found for name in names), (position, found)


def test_a_test_set_is_held_to_its_seal_too(home: Path) -> None:
    assert audit_testset(home / TESTSET) == []
    manifest = of(f"{TESTSET}/manifest.json")
    before = manifest.read_text()
    manifest.write_text(before.replace("non-commercial", "any purpose").replace("CC BY", "CC"))
    assert audit_testset(home / TESTSET) == [f"{manifest} has changed."]
    manifest.write_text(before)


def test_another_test_set_of_the_name_and_one_that_is_not_here_are_told(home: Path) -> None:
    manifest = of(f"{TESTSET}/manifest.json")
    before = manifest.read_bytes()
    values = json.loads(before)
    values["plan"]["seed"] = 7
    values[SEAL] = BLANK
    manifest.write_bytes(seal((json.dumps(values) + "\n").encode()))
    outcome = command("verify", "results")
    assert "ffhq-16-x4 is a different test set than that of results" in outcome.out
    manifest.write_bytes(before)
    manifest.rename(home / "elsewhere.json")
    out = good("verify", "results").out
    (home / "elsewhere.json").rename(manifest)
    assert "test set ffhq-16-x4 (" in out
    assert ", not here)" in out


def test_a_seal_is_the_hash_of_the_bytes_around_it(tmp_path: Path) -> None:
    blank = f'{{"{SEAL}": "{BLANK}", "x": 1}}'.encode()
    sealed = seal(blank)
    assert sealed == blank.replace(BLANK.encode(), sha256(blank).encode())
    assert seal_matches(sealed) is True
    assert seal_matches(sealed + b" ") is False
    assert seal_matches(blank) is False
    assert seal_matches(b'{"x": 1}') is None
    file = tmp_path / "old.json"
    file.write_bytes(b"{}")
    (line,) = broken_seals(file)
    assert line.endswith("old.json has no seal: it has changed, or an earlier version wrote it.")
