"""Where checkpoints are looked for, and the ones that ship."""

import re
from pathlib import Path

import pytest
import torch

from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import checkpoints
from bench.networks import find
from bench.networks.checkpoints import read_checkpoint
from bench.networks.find import find_network
from bench.networks.kinds import KINDS, check_kinds
from bench.networks.registry.records import records

MEGABYTE = 1_000_000
LARGEST = {"prior": 12 * MEGABYTE, "corrector": 3 * MEGABYTE, "sr3": 12 * MEGABYTE}
ALL = 40 * MEGABYTE
EMBEDDED = sorted(checkpoints().glob("*.safetensors"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of embedded and of added checkpoints, both empty."""
    embedded, cache = tmp_path / "embedded", tmp_path / "cache"
    embedded.mkdir()
    monkeypatch.setattr(find, "checkpoints", lambda: embedded)
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    return embedded, cache


def test_networks_are_found_by_size_and_scale(places: tuple[Path, Path]) -> None:
    embedded, cache = places
    cache.mkdir()
    for path in (embedded / "prior-64.safetensors", embedded / "corrector-64-x8.safetensors"):
        path.touch()
    for name in ("corrector-64-x16.safetensors", "ffhq_10m.pt", "codeformer.pth"):
        (cache / name).touch()
    assert find_network("prior", 64, 8) == embedded / "prior-64.safetensors"
    assert find_network("prior", 256, 8) == cache / "ffhq_10m.pt"
    assert find_network("corrector", 64, 8) == embedded / "corrector-64-x8.safetensors"
    assert find_network("corrector", 64, 16) == cache / "corrector-64-x16.safetensors"
    assert find_network("codeformer", 64, 8) == cache / "codeformer.pth"


def test_a_network_of_ones_own_comes_before_a_public_one(places: tuple[Path, Path]) -> None:
    _, cache = places
    cache.mkdir()
    (cache / "I640000_E37_gen.pth").touch()
    assert find_network("sr3", 128, 8) == cache / "I640000_E37_gen.pth"
    (cache / "sr3-128-x8.safetensors").touch()
    assert find_network("sr3", 128, 8) == cache / "sr3-128-x8.safetensors"


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("kind", "size", "scale", "said"),
    [
        (
            *("prior", 256, 8),
            r"^ffhq_10m\.pt is missing: run `bench weights get prior-256`, or .*`--size 64`\.$",
        ),
        (
            *("prior", 128, 8),
            r"`bench train prior --size 128 --data .* `--weights prior=FILE`, or .*`--size 64`\.$",
        ),
        (
            *("corrector", 64, 4),
            r"`bench train crt --size 64 --scale 4 --data .* with `--weights corrector=FILE`\.$",
        ),
        ("sr3", 64, 8, r"^There is no sr3 for 64 px at x8: train one with `bench train sr3 "),
        ("gfpgan", 64, 8, r"^GFPGANv1\.4\.pth is missing: run `bench weights get gfpgan`\.$"),
    ],
)
def test_what_is_missing_comes_with_the_command_that_gets_it(
    kind: str, size: int, scale: int, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        find_network(kind, size, scale)


def test_every_kind_without_training_has_a_public_record() -> None:
    assert records().keys() >= {kind.name for kind in KINDS.values() if not kind.trained_by}


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(WrongUsage, match=r"^FILE has no 'priro': did you mean 'prior'\?$"):
        check_kinds(["sr3", "priro"], "FILE")


@pytest.mark.skipif(not EMBEDDED, reason="no checkpoint is embedded yet")
@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.stem)
def test_an_embedded_checkpoint_is_what_its_name_says(path: Path) -> None:
    name = re.fullmatch(r"(prior|corrector|sr3)-(\d+)(?:-x(\d+))?", path.stem)
    assert name is not None
    kind, size, scale = name.groups()
    assert path.stat().st_size <= LARGEST[kind]
    checkpoint = read_checkpoint(path, kind)
    card = checkpoint.card
    assert (card.kind, card.size, card.scale) == (kind, int(size), scale and int(scale))
    assert (card.k is None) == (kind != "corrector")
    network = KINDS[kind].load(path).network
    x, t = torch.zeros(1, 3, card.size, card.size), torch.tensor([500])
    inputs = {"prior": (x, t), "corrector": (x, t, x), "sr3": (x, torch.tensor([0.5]), x)}
    with torch.no_grad():
        result = network(*inputs[kind])
    assert result.shape == (1, 6 if kind == "prior" else 3, card.size, card.size)
    assert result.isfinite().all()


def test_the_embedded_checkpoints_fit_into_the_repository() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED) <= ALL
