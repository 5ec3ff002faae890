"""SR3: network, released checkpoints, sampler, loss, and a run with what was trained."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import SR3Config, SR3UNet, infer_sr3_config, sample_sr3, sr3_schedule
from bench.engine.experiment import Experiment
from bench.images import resize_bicubic_batch
from bench.networks.checkpoints import read_checkpoint
from bench.training import architectures
from bench.training.architectures import sr3_architecture
from bench.training.objectives import draw_noise_levels, sr3_loss, timesteps_of
from bench.training.settings import TrainingSettings
from bench.training.tasks import run_task, sr3_task
from tests.oracle import noise
from tests.running import run_method
from tests.small import TINY_SR3, photos, small_testset


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# The network


@pytest.mark.parametrize(
    "config",
    [
        TINY_SR3,
        SR3Config(16, (1, 2, 4), 2, (), norm_groups=16),
        SR3Config(32, (2, 1, 1), 1, (1, 4), norm_groups=32),
    ],
)
def test_its_shape_is_read_off_its_weights(config: SR3Config) -> None:
    assert infer_sr3_config(SR3UNet(config).state_dict(), config.norm_groups) == config


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BenchError, match="These weights are not SR3's U-Net"):
        infer_sr3_config({"input_blocks.0.0.weight": torch.ones(1)}, 32)
    state = {
        n: v for n, v in SR3UNet(TINY_SR3).state_dict().items() if "downs.1.res_block" not in n
    }
    with pytest.raises(BenchError, match=r"downs\.1 is neither a residual block nor"):
        infer_sr3_config(state, 8)


def released(config: SR3Config) -> dict[str, Tensor]:
    """A released checkpoint's layout: the network within its sampler, whose tables it holds."""
    network = {f"denoise_fn.{n}": v for n, v in SR3UNet(config).state_dict().items()}
    return {"betas": torch.ones(2000), "alphas_cumprod": torch.ones(2000), **network}


def test_released_weights_are_read_for_the_size_that_they_were_made_for(tmp_path: Path) -> None:
    path = tmp_path / "I640000_E37_gen.pth"
    config = SR3Config(32, (1, 2, 4, 8, 8), 1, (8,))
    torch.save(released(config), path)
    read = read_checkpoint(path, "sr3")
    assert (read.card.size, read.card.scale, read.card.unet) == (128, 8, config)
    read.load_into(SR3UNet(config))
    torch.save(released(TINY_SR3), path)
    with pytest.raises(BenchError, match="not a released SR3 network"):
        read_checkpoint(path, "sr3")


# The sampler


def test_a_network_that_knows_the_image_leads_to_it() -> None:
    truth = draw(2, 3, 8, 8).clamp(-1, 1)
    told: list[float] = []

    def network(x: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        assert torch.equal(condition, -truth)
        told.append(float(level[0]))
        signal = level[:, None, None, None]
        return (x - signal * truth) / (1 - signal.square()).sqrt()

    schedule = sr3_schedule().respaced(5)
    restored = sample_sr3(network, schedule, -truth, noise(2))
    # In float32 the stand-in knows 1 - level^2, 1e-6 at the last step, to 6 % only, and with it
    # the noise that is left there, 1e-3.
    torch.testing.assert_close(restored, truth, atol=2e-4, rtol=0)
    expected = [float(value) ** 0.5 for value in schedule.alpha_bar[::-1]]
    assert told == pytest.approx(expected)


# The loss


def test_the_loss_is_the_distance_from_the_noise() -> None:
    x0, condition, eps = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1), draw(2, 3, 4, 4, seed=2)
    level = torch.tensor([0.6, 1.0])

    def network(x: Tensor, told: Tensor, given: Tensor) -> Tensor:
        assert torch.equal(told, level)
        assert torch.equal(given, condition)
        torch.testing.assert_close(x[0], 0.6 * x0[0] + 0.8 * eps[0])
        torch.testing.assert_close(x[1], x0[1])
        return eps + torch.tensor([0.5, -0.25])[:, None, None, None]

    schedule = sr3_schedule()
    l1 = sr3_loss(network, schedule, x0, condition, level, eps)
    torch.testing.assert_close(l1.objective, torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(l1.error, torch.tensor([0.25, 0.0625]))
    l2 = sr3_loss(network, schedule, x0, condition, level, eps, "l2")
    torch.testing.assert_close(l2.objective, torch.tensor([0.25, 0.0625]))
    assert l2.t.tolist() == [abs(schedule.alpha_bar - 0.36).argmin() // 2, 0]


def test_a_level_between_two_steps_counts_as_the_noisier_one() -> None:
    schedule = Schedule.linear(4, 0.1, 0.4)
    steps = torch.from_numpy(schedule.alpha_bar).sqrt()
    between = (steps[1:] + steps[:-1]) / 2
    assert timesteps_of(steps, schedule).tolist() == [0, 1, 2, 3]
    assert timesteps_of(between, schedule).tolist() == [1, 2, 3]
    assert timesteps_of(torch.tensor([1.0, 0.0]), schedule).tolist() == [0, 3]


def test_noise_levels_fill_the_gaps_of_the_schedule() -> None:
    schedule = Schedule.linear(4, 0.1, 0.4)  # sr3's own gaps hold a few float32 numbers only
    edges = torch.tensor([1.0, *(float(value) ** 0.5 for value in schedule.alpha_bar)])
    levels = draw_noise_levels(4000, schedule, torch.Generator().manual_seed(0))
    assert levels.min() >= edges[-1]
    assert levels.max() <= 1
    for low, high in zip(edges[1:], edges[:-1], strict=True):
        inside = levels[(levels > low) & (levels <= high)]
        # a quarter each: 4 standard deviations of a binomial count; the mean is halfway
        assert abs(len(inside) - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5
        halfway, spread = (low + high) / 2, (high - low) / 12**0.5
        assert abs(inside.mean() - halfway) < 4 * spread / len(inside) ** 0.5


# From training to a run


@pytest.mark.parametrize(("norm", "mean"), [("l1", (2 / math.pi) ** 0.5), ("l2", 1.0)])
def test_training_shows_the_enlarged_input(norm: Literal["l1", "l2"], mean: float) -> None:
    x0, seen = draw(2, 3, 64, 64).clamp(-1, 1), []

    class Mute(nn.Module):
        """Says nothing, so that all of the noise remains."""

        def forward(self, x: Tensor, level: Tensor, condition: Tensor) -> Tensor:
            seen.append(condition)
            return torch.zeros_like(x)

    losses = sr3_task(64, 8, norm).objective(Mute(), x0, torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], resize_bicubic_batch(resize_bicubic_batch(x0, 8), 64))
    # of 12288 draws each: the mean is off by less than 1.4 / 110 in two thirds of all cases
    torch.testing.assert_close(losses.objective, torch.full((2,), mean), atol=0.05, rtol=0)
    torch.testing.assert_close(losses.error, torch.ones(2), atol=0.05, rtol=0)


def test_what_is_trained_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "SR3_64", TINY_SR3)
    settings = TrainingSettings(steps=3, batch=2, warmup=2)
    faces = photos(tmp_path / "faces", count=4, size=16)
    path = run_task(sr3_task(16, 4, "l1"), faces, settings, tmp_path / "out")
    assert path == tmp_path / "out" / "sr3-16-x4.safetensors"
    with Image.open(tmp_path / "out" / "sr3-16-x4-samples.png") as picture:
        assert picture.size == (2 + 4 * 18, 2 + 3 * 18), "input, result and truth of four faces"
    card = read_checkpoint(path, "sr3").card
    assert (card.kind, card.size, card.scale, card.unet) == ("sr3", 16, 4, TINY_SR3)
    assert card.training is not None
    assert card.training["objective"] == "l1"

    testset, weights = small_testset(tmp_path, count=2), {"sr3": str(path)}
    experiment = Experiment(testset, tmp_path / "results", {"sr3": {"steps": 3}}, weights)
    done = run_method("sr3", experiment).run
    assert done.spec.weights == {"sr3": sha256_file(path)}
    assert [record.evaluations for record in done.records().values()] == [3, 3]
    other = small_testset(tmp_path / "other", scale=8)
    with pytest.raises(BenchError, match="trained for scale 4, but the test set has scale 8"):
        run_method("sr3", replace(experiment, testset=other))


def test_the_small_network_normalises_over_four_channels_or_more() -> None:
    norms = [m for m in SR3UNet(sr3_architecture(64)).modules() if isinstance(m, nn.GroupNorm)]
    assert min(norm.num_channels // norm.num_groups for norm in norms) == 4


@pytest.mark.parametrize(("size", "scale"), [(16, 3), (16, 1)])
def test_a_scale_that_does_not_divide_the_size_is_refused(size: int, scale: int) -> None:
    with pytest.raises(WrongUsage, match=f"scale {scale} is not a divisor of the size {size}"):
        sr3_task(size, scale, "l1")
