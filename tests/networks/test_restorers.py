"""The restorers published for 512 px: loaded as released, led up to as released, in a run."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench.core.paths
import bench.networks.restorers
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.diffusion.unet import UNet
from bench.engine.experiment import Experiment
from bench.engine.run import run_suite
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.methods import configure, find_method
from bench.networks.checkpoints import Card, write_checkpoint
from bench.networks.kinds import KINDS
from bench.networks.restorers import (
    NoisedGFPGAN,
    Restorer,
    restore_at_512,
)
from bench.report.tables.runs import run_labels
from bench.store.run import Run
from tests.oracle import noise
from tests.running import run_method
from tests.small import TINY_PRIOR, picture, small_testset


def architecture(kind: str, **shape: Any) -> nn.Module:
    """A restorer of spandrel's with random weights."""
    published = KINDS[kind].architecture
    assert isinstance(published, Restorer)
    network = getattr(published.import_architecture(), published.name)
    torch.manual_seed(0)
    return network(**shape).eval()


def small(kind: str) -> nn.Module:
    """As small as the released layout allows."""
    if kind == "codeformer":
        return architecture(kind, dim_embd=64, n_layers=1, codebook_size=16)
    if kind == "restoreformer":
        return architecture(kind, ch=32, n_embed=16, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1)
    if kind == "swinir":
        shape = {"img_size": 64, "window_size": 8, "depths": [1], "num_heads": [2], "embed_dim": 8}
        with bench.networks.restorers._without_their_warnings():
            return architecture(
                kind, upscale=8, upsampler="nearest+conv", start_unshuffle=8, **shape
            )
    return architecture(kind)


def save(network: nn.Module, path: Path, wrapper: str = "params_ema") -> Path:
    torch.save({wrapper: network.state_dict()}, path)
    return path


@pytest.mark.parametrize(
    ("kind", "wrapper"),
    [("codeformer", "params_ema"), ("gfpgan", "params_ema"), ("restoreformer", "params")],
)
def test_released_weights_are_loaded_for_inference(kind: str, wrapper: str, tmp_path: Path) -> None:
    network = small(kind)
    loaded = KINDS[kind].load(save(network, tmp_path / "weights.pth", wrapper)).network
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    inner = loaded.network if isinstance(loaded, NoisedGFPGAN) else loaded
    state = inner.state_dict()
    assert state.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(state[name], value), name


def test_swinir_is_loaded_as_difface_released_it(tmp_path: Path) -> None:
    network, path = small("swinir"), tmp_path / "swinir.pth"
    renamed = {
        n.replace("conv_first.", "conv_first.1."): v for n, v in network.state_dict().items()
    }
    torch.save({f"module.{name}": value for name, value in renamed.items()}, path)
    x = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert torch.equal(KINDS["swinir"].load(path).network(x), network(x))


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = save(nn.Conv2d(3, 3, 1), tmp_path / "weights.pth")
    with pytest.raises(BenchError, match=r"weights\.pth does not hold the weights of CodeFormer"):
        KINDS["codeformer"].load(path)
    state = small("restoreformer").state_dict()
    torch.save({n: v for n, v in state.items() if "mid.block_2" not in n}, path)
    with pytest.raises(BenchError, match=r"weights\.pth does not fit RestoreFormer: "):
        KINDS["restoreformer"].load(path)
    path.write_bytes(b"hello")
    with pytest.raises(BenchError, match=r"weights\.pth is truncated, not a PyTorch checkpoint"):
        KINDS["gfpgan"].load(path)


def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench.core.paths, "find_spec", lambda package: None)
    command = r"run `pip install -e '\.\[restorers\]'`"
    with pytest.raises(BenchError, match=rf"spandrel_extra_arches not installed: {command}"):
        KINDS["codeformer"].load(tmp_path / "weights.pth")
    # and before any method of a suite has begun
    weights = tmp_path / "weights.pth"
    weights.touch()
    testset, results = small_testset(tmp_path, count=1), tmp_path / "results"
    with pytest.raises(BenchError, match="spandrel not installed"):
        run_suite(
            ("bicubic", "gfpgan"),
            Experiment(testset, results, weights={"gfpgan": str(weights)}, batch=1),
        )
    assert not results.exists()


# The released way


@pytest.mark.parametrize("size", [32, 512])
def test_a_face_is_brought_to_512_and_back(size: int) -> None:
    lr = to_model([picture(seed, 16) for seed in range(2)])
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return 2 * x

    restored = restore_at_512(lr, size, network)
    (faces,) = seen
    assert faces.shape == (2, 3, 512, 512)
    assert faces.is_contiguous()  # GFPGAN can't do with less
    assert torch.equal(faces, to_model(to_pixels(faces))), "in 8 bits"
    # Bilinear: output pixel i lies at (i + 0.5) / 32 - 0.5 of the input, in a row of a picture.
    at = (200 + 0.5) / 32 - 0.5
    left, share = math.floor(at), at - math.floor(at)
    levels = (lr[0, 0, 0] + 1) * 127.5
    expected = round(float((1 - share) * levels[left] + share * levels[left + 1]))
    assert round(float((faces[0, 0, 0, 200] + 1) * 127.5)) == expected
    doubled = (2 * faces).clamp(-1, 1)
    if size == 512:
        assert torch.equal(restored, doubled)
    else:
        assert torch.equal(restored, resize_bicubic_batch(doubled, size))


def test_gfpgan_draws_no_noise_of_its_own() -> None:
    network = architecture("gfpgan", out_size=16)
    for name, parameter in network.named_parameters():
        if name.endswith(".weight") and parameter.shape == (1,):
            nn.init.constant_(parameter, 0.5)  # the noise's weights, which begin at 0
    gfpgan = NoisedGFPGAN(network)
    shapes = gfpgan.noise_shapes(2)[:5]
    stored = dict(network.named_buffers())
    assert [shape[2:] for shape in shapes] == [
        buffer.shape[2:] for name, buffer in stored.items() if "noises" in name
    ]
    before = {name: buffer.clone() for name, buffer in stored.items()}
    draws, x = noise(2), torch.zeros(2, 3, 16, 16)
    given = [draws.normal_like(torch.empty(shape)) for shape in shapes]
    state = torch.get_rng_state()
    first, again = gfpgan(x, *given)[0], gfpgan(x, *given)[0]
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first[0], first[1]), "each image has its own"
    assert not torch.equal(first, gfpgan(x, *(-layer for layer in given))[0])
    assert all(torch.equal(stored[name], buffer) for name, buffer in before.items())


def test_the_noise_is_that_of_the_released_network() -> None:
    with torch.device("meta"):
        network = architecture("gfpgan")
    shapes = [tuple(b.shape) for name, b in network.named_buffers() if "noises" in name]
    assert NoisedGFPGAN.noise_shapes(1) == shapes


def test_fidelity_is_a_share() -> None:
    with pytest.raises(WrongUsage, match=r"settings\.codeformer\.fidelity is 1\.5, but must"):
        configure(find_method("codeformer"), 8, 512, {"codeformer": {"fidelity": 1.5}})


def test_a_restorer_runs_inside_another_method(tmp_path: Path) -> None:
    weights = save(small("restoreformer"), tmp_path / "RestoreFormer.pth", "params")
    prior = tmp_path / "prior.safetensors"
    write_checkpoint(prior, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))
    testset, results = small_testset(tmp_path, count=1), tmp_path / "results"
    chosen = {"prior": str(prior), "restoreformer": str(weights)}

    def run(enhancer: str) -> Run:
        settings = {"dr2": {"enhancer": enhancer}}
        return run_method("dr2", Experiment(testset, results, settings, chosen, batch=1)).run

    alone, enhanced = run("bicubic"), run("restoreformer")
    hashes = {"prior": sha256_file(prior), "restoreformer": sha256_file(weights)}
    assert enhanced.spec.weights == hashes
    inside = {"method": "restoreformer", "revision": 1, "settings": {}}
    assert enhanced.spec.settings["enhancer"] == inside
    assert alone.spec.weights.keys() == {"prior"}
    counts = [record.evaluations for run in (alone, enhanced) for record in run.records().values()]
    assert counts[0] is not None
    assert counts[1] == counts[0] + 1
    labels = run_labels([alone, enhanced])
    assert labels[0] == "DR2 (enhancer bicubic)"
    assert re.fullmatch(r"DR2 \(enhancer restoreformer, restoreformer \w{8}\)", labels[1])
