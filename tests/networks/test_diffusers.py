"""Priors of diffusers: converted, loaded with equal outputs, and what is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.errors import BenchError, WrongUsage
from bench.engine.models import load_models
from bench.methods import configure
from bench.networks import diffusers_unet
from bench.networks.checkpoints import convert_prior, read_card
from bench.networks.kinds import find_kind
from bench.networks.torchvision_guard import import_torchvision
from tests.command import bench as command
from tests.command import good

import_torchvision()
diffusers: Any = pytest.importorskip("diffusers", reason="diffusers is an extra")


def small_unet(**options: Any) -> Any:
    """Return a `UNet2DModel` of 16 px with random weights."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        **options,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline of the kind of google/ddpm-celebahq-256, as diffusers saves it."""
    network = small_unet(flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6)
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline = diffusers.DDPMPipeline(network, diffusers.DDPMScheduler())
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def converted(saved: Path, tmp_path: Path) -> Path:
    convert_prior(saved, None, tmp_path / "prior.safetensors")
    return tmp_path / "prior.safetensors"


def test_outputs_equal_those_of_diffusers(saved: Path, converted: Path) -> None:
    theirs = diffusers.UNet2DModel.from_pretrained(saved / "unet")
    network = find_kind("prior").load(converted).network
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0, 999])
    with torch.inference_mode():
        expected = theirs(x, t).sample
        assert expected.std() > 0.1
        torch.testing.assert_close(network(x, t), expected, atol=1e-5, rtol=0)


def test_the_card_says_what_it_is(converted: Path) -> None:
    card = read_card(converted)
    assert (card.kind, card.size, card.prediction) == ("prior", 16, "eps")
    assert isinstance(card.unet, diffusers_unet.DiffusersConfig)
    assert json.loads(card.unet.diffusers)["_class_name"] == "UNet2DModel"


def test_estimates_and_variance_equal_the_schedulers(saved: Path, converted: Path) -> None:
    """DDPM with x0_hat clipped and the fixed small variance."""
    made = configure("ddnm", 4, 16, {})
    prior = load_models(made, 16, {"prior": str(converted)}, torch.device("cpu")).models.prior
    assert prior is not None
    scheduler = diffusers.DDPMScheduler.from_pretrained(saved / "scheduler")
    theirs = diffusers.UNet2DModel.from_pretrained(saved / "unet")
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for t in (999, 400, 3):
            output = theirs(x, torch.tensor([t])).sample
            expected = scheduler.step(output, t, x).pred_original_sample
            found = prior.predict(x, t)
            # At t = 999 an error of eps is 157 times as large in x0_hat.
            torch.testing.assert_close(found.x0_hat, expected, atol=1e-3, rtol=0)
            variance = float(scheduler._get_variance(t))
            assert float(found.log_variance.mean().exp()) == pytest.approx(variance, rel=1e-4)


def test_a_method_runs_on_it_through_the_commands(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('size = 16\nmetrics = ["psnr"]\n')
    good("weights", "convert", str(saved), "--out", "mine.safetensors")
    good(*["prepare", "sample", "--count", "1", "--scale", "4"])
    good(*["run", "ddnm", "--set", "ddnm.steps=2", "--prior", "mine.safetensors"])
    (run,) = (tmp_path / "results").rglob("run.json")
    assert "prior" in json.loads(run.read_text())["spec"]["weights"]
    wrong = command("weights", "convert", str(saved), "--size", "64", "--out", "x.safetensors")
    assert "states that it is for 16 px: remove --size" in wrong.err


def changed(saved: Path, folder: Path, file: str, **values: Any) -> Path:
    """A copy of the pipeline with other values in one of its configurations."""
    for path in (p for p in saved.rglob("*") if p.is_file()):
        target = folder / path.relative_to(saved)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, **values}))
    return folder


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "only a UNet2DModel"),
        ("unet/config.json", {"in_channels": 4}, "no unconditional|not an unconditional"),
        ("unet/config.json", {"num_class_embeds": 10}, "not an unconditional"),
        ("unet/config.json", {"sample_size": None}, "size None"),
        ("unet/config.json", {"block_out_channels": [32, 96]}, "does not fit its network"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "squaredcos_cap_v2"}, "linear one"),
        ("scheduler/scheduler_config.json", {"beta_end": 0.012}, "beta_end 0.012"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "predicts sample"),
    ],
)
def test_what_is_no_such_prior_is_refused(
    file: str, values: dict[str, Any], said: str, saved: Path, tmp_path: Path
) -> None:
    folder = changed(saved, tmp_path / "copy", file, **values)
    with pytest.raises(BenchError, match=said):
        convert_prior(folder, None, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_velocity_is_taken_for_one(saved: Path, tmp_path: Path) -> None:
    where = "scheduler/scheduler_config.json"
    folder = changed(saved, tmp_path / "copy", where, prediction_type="v_prediction")
    assert convert_prior(folder, None, tmp_path / "v.safetensors").prediction == "v"


def test_missing_and_damaged_weights_are_named(saved: Path, tmp_path: Path) -> None:
    folder = changed(saved, tmp_path / "copy", "unet/config.json")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"no tensors")
    with pytest.raises(BenchError, match="is damaged"):
        convert_prior(folder, None, tmp_path / "x.safetensors")
    weights.unlink()
    with pytest.raises(BenchError, match="holds none of"):
        convert_prior(folder, None, tmp_path / "x.safetensors")
    with pytest.raises(BenchError, match="give a folder that diffusers saved"):
        convert_prior(tmp_path, None, tmp_path / "x.safetensors")


def test_a_file_needs_its_size(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "prior.pt")
    with pytest.raises(WrongUsage, match="give --size"):
        convert_prior(tmp_path / "prior.pt", None, tmp_path / "x.safetensors")


def test_without_the_package_the_remedy_is_named(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusers_unet, "missing_packages", lambda *_: "diffusers: install it")
    with pytest.raises(BenchError, match="A prior of diffusers needs its package: diffusers"):
        find_kind("prior").load(converted)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["model.map_layer0.weight", "model.enc.64x64_conv.weight"], "EDM's preconditioning"),
        (
            [
                "input_blocks.0.0.weight",
                "input_blocks.1.0.in_layers.0.weight",
                "input_blocks.3.0.op.weight",
            ],
            "improved-diffusion",
        ),
    ],
)
def test_priors_of_other_kinds_are_refused_by_name(
    names: list[str], said: str, tmp_path: Path
) -> None:
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "prior.pt")
    with pytest.raises(BenchError, match=said):
        convert_prior(tmp_path / "prior.pt", 64, tmp_path / "x.safetensors")
