"""Training tasks: a prior, a Corrector or SR3."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError, WrongUsage
from bench.core.memory import keep_freed_memory
from bench.core.paths import missing_packages
from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Parametrisation, Prior, sample
from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import SR3UNet, sample_sr3, sr3_schedule
from bench.diffusion.unet import UNet
from bench.diffusion.wiener import WienerFilter
from bench.images import resize_bicubic_batch
from bench.networks.checkpoints import Card, read_checkpoint, write_checkpoint
from bench.networks.diffusers_unet import DiffusersConfig
from bench.networks.kinds import find_kind
from bench.testsets.degradation import RANGES
from bench.testsets.degradation_batch import degrade_batch, draw_batch
from bench.training.architectures import (
    corrector_architecture,
    prior_architecture,
    sr3_architecture,
)
from bench.training.checkpoint import TrainingCheckpoint
from bench.training.data import TrainingImages, load_training_images
from bench.training.loop import Objective, train
from bench.training.monitor import Monitor, Preview
from bench.training.objectives import (
    Losses,
    corrector_answers,
    corrector_loss,
    draw_noise,
    draw_noise_levels,
    draw_timesteps,
    even_weight,
    prior_loss,
    released_corrector_loss,
    sr3_loss,
    velocity_weight,
)
from bench.training.processes import exclusive
from bench.training.settings import TrainingSettings

SCHEDULE = Schedule.linear()
PREVIEW_STEPS = 50
PREVIEW_FACES = 6
FILTERED_IMAGES = 5000  # more do not change the spectrum by a percent


@dataclass(frozen=True)
class TrainingTask:
    """A network to train: kind, size, objective, and previews.

    `facts` are further facts that identify its training, as JSON values.
    """

    card: Card
    network: Callable[..., nn.Module]
    objective: Objective
    preview: Callable[[TrainingImages], Preview]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the stem of the output file."""
        return find_kind(self.card.kind).file_stem(self.card.size, self.card.scale)

    def with_dataset(self, dataset: str) -> Self:
        """Return a copy that records the dataset in the checkpoint's card."""
        return replace(self, facts={**self.facts, "dataset": dataset})


def prior_task(size: int, prediction: Parametrisation = "v") -> TrainingTask:
    """Describe a prior for images of this size, with learned variance.

    The error of eps is weighted by `even_weight`, that of v by `velocity_weight`.

    Raises:
        WrongUsage: the size does not fit the network.
    """
    weight = even_weight(SCHEDULE) if prediction == "eps" else velocity_weight(SCHEDULE)

    def objective(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        t = draw_timesteps(len(x0), SCHEDULE, generator)
        return prior_loss(network, SCHEDULE, x0, t, draw_noise(x0, generator), weight, prediction)

    def samples(network: nn.Module) -> Tensor:
        device = next(network.parameters()).device
        noise = KeyedNoise([StreamKey(0, f"preview {i}") for i in range(16)])
        x = noise.normal_like(torch.empty(16, 3, size, size, device=device))
        return sample(Prior(network, SCHEDULE, prediction).respaced(PREVIEW_STEPS), x, noise)

    def preview(images: TrainingImages) -> Preview:
        some = images.batch(
            torch.arange(0, len(images.pixels), -(-len(images.pixels) // FILTERED_IMAGES))
        )
        linear = WienerFilter.fit(some).eps_error(SCHEDULE)
        return Preview(samples, 4, "squared error of the noise estimate", linear, "Wiener filter")

    card = Card("prior", size, prior_architecture(size), prediction=prediction)
    facts = {"objective": "even" if prediction == "eps" else "velocity"}
    return _checked(TrainingTask(card, UNet, objective, preview, facts))


def corrector_task(
    size: int,
    scale: int,
    k: int,
    form: Literal["paper", "released"],
    degradation: str = "bicubic",
    prior: Path | None = None,
) -> TrainingTask:
    """Describe a Corrector for images of this size on every k-th pixel.

    Its condition comes from bicubic downscaling by `scale` or, with scale 1, from another
    degradation of `bench prepare`, whose inputs have the size of the result. With a prior's
    checkpoint it learns from that prior's noise estimates, which the released form does not use.

    Raises:
        WrongUsage: a scale or k that does not divide the size, a scale or a prior that does not
            fit the rest, or a size that does not fit the network.
        BenchError: the checkpoint is no prior that can be read.
    """
    facts: dict[str, Any] = {"objective": form, "degradation": degradation}
    if degradation in RANGES:
        facts["ranges_for"] = RANGES[degradation].size
    if form == "released" and prior is not None:
        raise WrongUsage("--prior and --form released exclude each other: choose one.")
    estimate = None
    if prior is not None:
        checkpoint = read_checkpoint(prior, "prior")
        if checkpoint.card.size != size:
            raise WrongUsage(
                f"{prior} is for {checkpoint.card.size} px, not {size}: choose the other --size."
            )
        estimate = checkpoint.build(UNet)
        facts["prior_sha256"] = checkpoint.sha256
    if degradation == "bicubic":
        _check_divisors(size, scale=scale)
    elif scale != 1:
        raise WrongUsage(f"--degradation {degradation} has no scale {scale}: leave out --scale.")
    _check_divisors(size, k=k)

    def condition(x0: Tensor, generator: torch.Generator) -> Tensor:
        if degradation == "bicubic":
            low = resize_bicubic_batch(x0, size // scale)
        else:
            low = degrade_batch(x0, draw_batch(RANGES[degradation], len(x0), generator, size))
        return resize_bicubic_batch(low, size // k)

    def objective(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        t = draw_timesteps(len(x0), SCHEDULE, generator)
        base = condition(x0, generator)
        if form == "paper":
            if estimate is not None:
                estimate.to(x0.device)
            loss = corrector_loss(network, SCHEDULE, x0, base, t, generator, estimate)
        else:
            noise, posterior_noise = (draw_noise(x0, generator) for _ in range(2))
            loss = released_corrector_loss(network, SCHEDULE, x0, base, t, noise, posterior_noise)
        return Losses(loss, t, loss.detach())

    def preview(images: TrainingImages) -> Preview:
        x0 = images.batch(torch.arange(min(PREVIEW_FACES, len(images.pixels))))
        base = condition(x0, torch.Generator().manual_seed(0))

        def answers(network: nn.Module) -> Tensor:
            device = next(network.parameters()).device
            return corrector_answers(network, SCHEDULE, x0.to(device), base.to(device))

        return Preview(answers, len(x0), "squared error of the corrected condition")

    card = Card("corrector", size, corrector_architecture(size), scale, k)
    return _checked(TrainingTask(card, Corrector, objective, preview, facts))


def sr3_task(size: int, scale: int, norm: Literal["l1", "l2"]) -> TrainingTask:
    """Describe SR3 for images of this size at a scale.

    Raises:
        WrongUsage: a scale that does not divide the size, or a size that does not fit the network.
    """
    _check_divisors(size, scale=scale)
    schedule = sr3_schedule()

    def condition(x0: Tensor) -> Tensor:
        return resize_bicubic_batch(resize_bicubic_batch(x0, size // scale), size)

    def objective(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        level = draw_noise_levels(len(x0), schedule, generator)
        noise = draw_noise(x0, generator)
        return sr3_loss(network, schedule, x0, condition(x0), level, noise, norm)

    def preview(images: TrainingImages) -> Preview:
        x0 = images.batch(torch.arange(min(PREVIEW_FACES, len(images.pixels))))

        def samples(network: nn.Module) -> Tensor:
            given = condition(x0).to(next(network.parameters()).device)
            noise = KeyedNoise([StreamKey(0, f"preview {i}") for i in range(len(given))])
            restored = sample_sr3(network, schedule.respaced(PREVIEW_STEPS), given, noise)
            return torch.cat([given.cpu(), restored.cpu(), x0])

        return Preview(samples, len(x0), "squared error of the noise estimate")

    card = Card("sr3", size, sr3_architecture(size), scale)
    return _checked(TrainingTask(card, SR3UNet, objective, preview, {"objective": norm}))


def run_task(
    task: TrainingTask,
    data: Path,
    settings: TrainingSettings,
    out: Path,
    start: Path | None = None,
    every: int = 500,
    changed_data: bool = False,
    data_sha256: str | None = None,
) -> Path | None:
    """Train and write `<out>/<task.name>.safetensors`, with previews beside it.

    Several processes started by `accelerate launch` or `torchrun` share the work; all but the first
    return None. `start` is an initial checkpoint of the same kind and architecture; `data_sha256`
    is the expected hash of the images.

    Raises:
        BenchError: packages that are missing, unusable data, a start of another architecture, or
            what `train` refuses.
    """
    if missing := missing_packages("train", "accelerate", "tensorboard", "matplotlib"):
        raise BenchError(f"Training needs packages: {missing}.")
    keep_freed_memory()
    with exclusive(out / "log" / task.name):
        torch.manual_seed(settings.seed)  # initial weights have no generator of their own
        network = task.network(task.card.unet)
        facts = dict(task.facts)
        if start is not None:
            beginning = read_checkpoint(start, task.card.kind)
            beginning.load_into(network)
            network.requires_grad_(True).train()
            facts |= {"start": start.stem, "start_sha256": beginning.sha256}
        images = load_training_images(data, task.card.size)
        if data_sha256 not in {None, images.sha256}:
            raise BenchError(
                f"{data} differs from the images that the network was trained on: give those, or "
                "add --changed-data."
            )
        own = task.card.to_json() | settings.facts() | facts | {"data_sha256": images.sha256}
        saved = TrainingCheckpoint(out / f"{task.name}.checkpoint.pt", own)
        monitor = Monitor(out, task.name, task.preview(images))
        trained = train(
            network, task.objective, images, settings, saved, monitor, every, changed_data
        )
        if trained is None:
            return None
        training = {
            **facts,
            **asdict(settings),
            "images": len(images.pixels),
            "data_sha256": images.sha256,
            "final_loss": trained.final_loss,
            "curve": trained.curve.means(),
        }
        path = out / f"{task.name}.safetensors"
        write_checkpoint(path, trained.network, replace(task.card, training=training))
        return path


def _check_divisors(size: int, **divisors: int) -> None:
    for name, value in divisors.items():
        if value < 2 or size % value:
            raise WrongUsage(
                f"{name} {value} is not a divisor of the size {size} above 1: choose one."
            )


def _checked(task: TrainingTask) -> TrainingTask:
    shape = task.card.unet
    assert not isinstance(shape, DiffusersConfig)  # no training makes one of these
    multiple = shape.size_multiple
    if task.card.size < multiple or task.card.size % multiple:
        raise WrongUsage(
            f"Size {task.card.size} does not fit the network: choose a multiple of {multiple}."
        )
    return task
