"""Where checkpoints are looked for, and the ones that ship."""

import re
from pathlib import Path

import pytest
import torch

from bench.diffusion.unet import UNet
from bench.dpi.corrector import Corrector
from bench.errors import BenchError
from bench.registry import places as registry_places
from bench.registry.places import find_corrector, find_prior
from bench.resources import checkpoints
from bench.weights import read_checkpoint

MEGABYTE = 1_000_000
LARGEST = {"prior": 12 * MEGABYTE, "corrector": 3 * MEGABYTE}
EMBEDDED = sorted(checkpoints().glob("*.safetensors"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of embedded and of added checkpoints, both empty."""
    embedded, cache = tmp_path / "embedded", tmp_path / "cache"
    embedded.mkdir()
    monkeypatch.setattr(registry_places, "checkpoints", lambda: embedded)
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
    assert find_corrector(64, 8) == embedded / "corrector-64-x8.safetensors"
    assert find_corrector(64, 16) == cache / "corrector-64-x16.safetensors"


@pytest.mark.usefixtures("places")
def test_what_is_missing_comes_with_the_command_that_gets_it() -> None:
    said = r"ffhq_10m\.pt is not here: run `bench weights get prior-256`"
    with pytest.raises(
        BenchError, match=rf"^The prior for 256 px is missing: {said}, or .*`--size 64`\.$"
    ):
        find_prior(256)
    command = "bench train prior --size 128 --data FACES --out DIR"
    with pytest.raises(BenchError, match=rf"`{command}` and give it with `--prior`.*`--size 64`"):
        find_prior(128)
    command = "bench train crt --size 64 --scale 4 --data FACES --out DIR"
    with pytest.raises(BenchError, match=rf"`{command}` and give it with `--corrector`"):
        find_corrector(64, 4)


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
    network = (UNet if kind == "prior" else Corrector)(card.unet)
    checkpoint.load_into(network)
    x, t = torch.zeros(1, 3, card.size, card.size), torch.tensor([500])
    with torch.no_grad():
        result = network(x, t) if kind == "prior" else network(x, t, x)
    assert result.shape == (1, card.unet.out_channels, card.size, card.size)
    assert result.isfinite().all()
