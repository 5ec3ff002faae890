"""Where checkpoints are looked for, what adds them, and the ones that ship."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bench.weights
from bench.diffusion.unet import UNet, UNetConfig
from bench.dpi.corrector import Corrector
from bench.errors import BenchError, WrongUsage
from bench.resources import checkpoints
from bench.weights import (
    PUBLIC,
    add_weights,
    find_prior,
    find_trained,
    read_checkpoint,
)

MEGABYTE = 1_000_000
LARGEST = {"prior": 12 * MEGABYTE, "corrector": 3 * MEGABYTE}
EMBEDDED = sorted(checkpoints().glob("*.safetensors"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of embedded and of added checkpoints, both empty."""
    embedded, cache = tmp_path / "embedded", tmp_path / "cache"
    embedded.mkdir()
    monkeypatch.setattr(bench.weights, "checkpoints", lambda: embedded)
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    return embedded, cache


def test_checkpoints_are_found_by_size_and_scale(places: tuple[Path, Path]) -> None:
    embedded, cache = places
    cache.mkdir()
    for path in (embedded / "prior-64.safetensors", embedded / "corrector-64-x8.safetensors"):
        path.touch()
    (cache / "corrector-64-x16.safetensors").touch()
    (cache / "ffhq_10m.pt").touch()
    assert find_prior(64) == embedded / "prior-64.safetensors"
    assert find_prior(256) == cache / "ffhq_10m.pt"
    assert find_trained("corrector", 64, 8) == embedded / "corrector-64-x8.safetensors"
    assert find_trained("corrector", 64, 16) == cache / "corrector-64-x16.safetensors"


@pytest.mark.usefixtures("places")
def test_what_is_missing_comes_with_the_command_that_gets_it() -> None:
    with pytest.raises(BenchError, match=r"`bench weights add prior-256 FILE`.*`--size 64`"):
        find_prior(256)
    command = "bench train prior --size 128 --data FACES --out DIR"
    with pytest.raises(BenchError, match=rf"`{command}` and give it with `--prior`.*`--size 64`"):
        find_prior(128)
    command = "bench train crt --size 64 --scale 4 --data FACES --out DIR"
    with pytest.raises(BenchError, match=rf"`{command}` and .* `--weights corrector=FILE`"):
        find_trained("corrector", 64, 4)


def test_public_weights_are_added_after_their_hash_is_checked(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "download.pt"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(BenchError, match=rf"is not ffhq_10m\.pt: its sha256 is {digest}, not 81d5"):
        add_weights("prior-256", file)
    assert not places[1].exists()
    monkeypatch.setattr(bench.weights, "PUBLIC", (replace(PUBLIC[0], sha256=digest),))
    assert add_weights("prior-256", file) == find_prior(256) == places[1] / "ffhq_10m.pt"
    assert find_prior(256).read_bytes() == b"weights"


def test_unknown_names_and_missing_files_are_not_added(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="'prior-512' is not known: choose prior-256"):
        add_weights("prior-512", tmp_path / "x.pt")
    with pytest.raises(BenchError, match=r"There is no file .*x\.pt"):
        add_weights("prior-256", tmp_path / "x.pt")


@pytest.mark.skipif(not EMBEDDED, reason="no checkpoint is embedded yet")
@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.stem)
def test_an_embedded_checkpoint_is_what_its_name_says(path: Path) -> None:
    name = re.fullmatch(r"(prior|corrector)-(\d+)(?:-x(\d+))?", path.stem)
    assert name is not None
    kind, size, scale = name.groups()
    assert path.stat().st_size <= LARGEST[kind]
    checkpoint = read_checkpoint(path, "prior" if kind == "prior" else "corrector")
    card = checkpoint.card
    assert (card.kind, card.size, card.scale) == (kind, int(size), scale and int(scale))
    assert (card.k is None) == (kind == "prior")
    assert isinstance(card.unet, UNetConfig)
    network = (UNet if kind == "prior" else Corrector)(card.unet)
    checkpoint.load_into(network)
    x, t = torch.zeros(1, 3, card.size, card.size), torch.tensor([500])
    with torch.no_grad():
        result = network(x, t) if kind == "prior" else network(x, t, x)
    assert result.shape == (1, card.unet.out_channels, card.size, card.size)
    assert result.isfinite().all()
