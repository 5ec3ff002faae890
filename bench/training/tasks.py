"""What can be trained: a prior, a Corrector, or SR3; from images to a checkpoint with its card."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import SR3Config, SR3UNet, sr3_schedule
from bench.diffusion.unet import UNet, UNetConfig
from bench.dpi.corrector import Corrector
from bench.errors import WrongUsage
from bench.images import resize_bicubic_batch
from bench.memory import keep_freed_memory
from bench.training.data import TrainingImages, load_training_images
from bench.training.loop import TrainingSettings, train
from bench.training.objectives import (
    corrector_loss,
    draw_noise_levels,
    draw_timesteps,
    even_weight,
    prior_loss,
    released_corrector_loss,
    sr3_loss,
)
from bench.weights import Card, read_checkpoint, write_checkpoint

# Attention only at 8 px: at 16 px it costs a sixth of the training speed on a CPU.
SMALL_PRIOR = UNetConfig(
    channels=32, channel_mult=(1, 2, 4, 4), res_blocks=1, attention_factors=(8,), head_channels=32
)
SMALL_CORRECTOR = UNetConfig(
    channels=32,
    channel_mult=(1, 1, 2, 2),
    res_blocks=1,
    attention_factors=(),  # in the middle block alone, at 8 px: 3 MB on disk
    head_channels=16,
    out_channels=3,
)
# ffhq_10m.pt, and the released Corrector: its 5,867,427 parameters are those of attention at
# 8 px (factor 32 of 256 px), not at factor 8, which would have 5,718,819.
FULL_PRIOR = UNetConfig(
    channels=128,
    channel_mult=(1, 1, 2, 2, 4, 4),
    res_blocks=1,
    attention_factors=(16,),
    head_channels=64,
)
FULL_CORRECTOR = UNetConfig(
    channels=32,
    channel_mult=(1, 1, 2, 2, 4, 4),
    res_blocks=1,
    attention_factors=(32,),
    head_channels=16,
    out_channels=3,
)

SMALL_SR3 = SR3Config(
    channels=32, channel_mult=(1, 2, 4, 4), res_blocks=1, attention_factors=(), norm_groups=16
)


def released_sr3(size: int) -> SR3Config:
    """The released network for 128 px, with attention at 16 px whatever the size."""
    return SR3Config(
        channels=64, channel_mult=(1, 2, 4, 8, 8), res_blocks=2, attention_factors=(size // 16,)
    )


def train_prior(
    data: Path, size: int, settings: TrainingSettings, out: Path, start: Path | None = None
) -> Path:
    """Train a prior and write `<out>/prior-<size>.safetensors`.

    `start` is another prior of this architecture to begin with.

    Raises:
        BenchError: unusable data, a size that does not fit the network, or a checkpoint of
            another training in `out`.
    """
    unet = SMALL_PRIOR if size <= 64 else FULL_PRIOR
    schedule = Schedule.linear()
    weight = even_weight(schedule)

    def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        t = draw_timesteps(len(x0), schedule, generator)
        noise = torch.randn(x0.shape, generator=generator)
        return prior_loss(network, schedule, x0, t, noise, weight)

    card = Card("prior", size, unet)
    return _train(UNet, loss, data, settings, out, card, {"objective": "even"}, start)


def train_corrector(
    data: Path,
    size: int,
    scale: int,
    k: int,
    form: Literal["paper", "released"],
    settings: TrainingSettings,
    out: Path,
    start: Path | None = None,
) -> Path:
    """Train a Corrector and write `<out>/corrector-<size>-x<scale>.safetensors`.

    `start` is another Corrector to begin with, such as that of another scale.

    Raises:
        BenchError: unusable data, a scale or k that does not divide the size, a size that does
            not fit the network, or a checkpoint of another training in `out`.
    """
    for name, value in (("scale", scale), ("k", k)):
        if value < 2 or size % value:
            raise WrongUsage(f"{name} {value} does not divide the size {size}: choose another.")
    unet = SMALL_CORRECTOR if size <= 64 else FULL_CORRECTOR
    schedule = Schedule.linear()

    def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        t = draw_timesteps(len(x0), schedule, generator)
        base = resize_bicubic_batch(resize_bicubic_batch(x0, size // scale), size // k)
        if form == "paper":
            return corrector_loss(network, schedule, x0, base, t, generator)
        noise, posterior_noise = (torch.randn(x0.shape, generator=generator) for _ in range(2))
        return released_corrector_loss(network, schedule, x0, base, t, noise, posterior_noise)

    card = Card("corrector", size, unet, scale, k)
    return _train(Corrector, loss, data, settings, out, card, {"objective": form}, start)


def train_sr3(
    data: Path,
    size: int,
    scale: int,
    norm: Literal["l1", "l2"],
    settings: TrainingSettings,
    out: Path,
    start: Path | None = None,
) -> Path:
    """Train an SR3 and write `<out>/sr3-<size>-x<scale>.safetensors`.

    `start` is another SR3 to begin with, such as that of another scale.

    Raises:
        BenchError: unusable data, a scale that does not divide the size, a size that does not fit
            the network, or a checkpoint of another training in `out`.
    """
    if scale < 2 or size % scale:
        raise WrongUsage(f"scale {scale} does not divide the size {size}: choose another.")
    unet = SMALL_SR3 if size <= 64 else released_sr3(size)
    schedule = sr3_schedule()

    def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        condition = resize_bicubic_batch(resize_bicubic_batch(x0, size // scale), size)
        level = draw_noise_levels(len(x0), schedule, generator)
        noise = torch.randn(x0.shape, generator=generator)
        return sr3_loss(network, x0, condition, level, noise, norm)

    card = Card("sr3", size, unet, scale)
    return _train(SR3UNet, loss, data, settings, out, card, {"objective": norm}, start)


def _train(
    network_class: Callable[..., nn.Module],
    loss: Callable[[nn.Module, Tensor, torch.Generator], Tensor],
    data: Path,
    settings: TrainingSettings,
    out: Path,
    card: Card,
    facts: dict[str, Any],
    start: Path | None = None,
) -> Path:
    multiple = card.unet.size_multiple
    if card.size < multiple or card.size % multiple:
        raise WrongUsage(
            f"Size {card.size} does not fit the network: choose a multiple of {multiple}."
        )
    keep_freed_memory()
    images: TrainingImages = load_training_images(data, card.size)
    torch.manual_seed(settings.seed)  # initial weights have no generator of their own
    network = network_class(card.unet)
    if start is not None:
        beginning = read_checkpoint(start, card.kind)
        beginning.load_into(network)
        network.requires_grad_(True).train()
        facts = {**facts, "start": start.stem, "start_sha256": beginning.sha256}
    name = f"{card.kind}-{card.size}" + (f"-x{card.scale}" if card.scale else "")
    task = {"card": asdict(card), **facts}
    trained = train(network, loss, images, settings, out / f"{name}.checkpoint.pt", task=task)
    training = {
        **facts,
        **asdict(settings),
        "images": len(images.pixels),
        "data_sha256": images.sha256,
        "final_loss": trained.final_loss,
    }
    path = out / f"{name}.safetensors"
    card = Card(card.kind, card.size, card.unet, card.scale, card.k, training)
    write_checkpoint(path, trained.network, card)
    return path
