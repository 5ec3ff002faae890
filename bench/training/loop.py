"""The one training loop: AdamW, moving average, checkpoints that continue bit for bit."""

import copy
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.files import replacing, sha256_json
from bench.progress import progress
from bench.training.data import TrainingImages

Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]
"""(network, images [B, 3, H, W] in [-1, 1], generator) -> loss per image [B]."""


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on, beside network, objective and data.

    The learning rate warms up linearly, stays, and falls linearly to zero over the last
    `decay_share` of the steps. Until it falls nothing depends on `steps`, so that a run may be
    taken up again with another number of them.
    """

    steps: int = 10_000
    batch: int = 16
    learning_rate: float = 5e-4
    warmup: int = 200
    decay_share: float = 0.3
    ema: float = 0.999
    seed: int = 0
    precision: str = "float32"

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the step with this number, counted from 0."""
        remaining = (self.steps - step) / max(1.0, self.decay_share * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup, remaining)

    def identity(self, data_sha256: str, task: Mapping[str, Any]) -> str:
        """Hash of all that an unfinished run must keep: everything but the number of steps."""
        return sha256_json({**asdict(self), "steps": None, "data": data_sha256, **task})


@dataclass(frozen=True)
class Trained:
    """What a finished training gives: averaged weights and the loss over its last tenth."""

    network: nn.Module
    final_loss: float


def train(
    network: nn.Module,
    loss: Loss,
    images: TrainingImages,
    settings: TrainingSettings,
    checkpoint: Path,
    save_every: int = 500,
    task: Mapping[str, Any] | None = None,
) -> Trained:
    """Train, or take up the training whose checkpoint is there.

    Batches, flips, timesteps and noise of a step follow from (seed, step) alone, so that a run
    that was stopped continues as if it had not been. A stop (Ctrl-C) takes effect between two
    steps and saves a checkpoint first. `task` tells apart trainings that differ in network or
    loss, as JSON values.

    Raises:
        BenchError: fewer images than a batch, or a checkpoint that is damaged or of another task,
            other settings or other data.
        KeyboardInterrupt: stopped, after saving.
    """
    if len(images.pixels) < settings.batch:
        raise BenchError(
            f"{len(images.pixels)} images don't fill a batch of {settings.batch}: "
            "give more images or a smaller --batch."
        )
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    identity = settings.identity(images.sha256, task or {})
    state: dict[str, Any] = {"step": 0, "losses": [], "identity": identity}
    if checkpoint.exists():
        state = _load(checkpoint, network, average, optimizer, identity)
    losses: list[float] = state["losses"]

    def save(step: int) -> None:
        with replacing(checkpoint) as temporary:
            torch.save(
                {
                    **state,
                    "step": step,
                    "losses": losses,
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                },
                temporary,
            )

    step = state["step"]
    with progress("training", settings.steps, done=step) as advance, _stops() as stops:
        while step < settings.steps and not stops:
            value = _one_step(network, average, optimizer, loss, images, settings, step)
            losses.append(value)
            step += 1
            recent = losses[-100:]
            advance(note=f"loss {sum(recent) / len(recent):.4f}")
            if step % save_every == 0:
                save(step)
        save(step)
    if stops:
        raise KeyboardInterrupt
    tail = losses[-max(1, len(losses) // 10) :]
    return Trained(average, sum(tail) / len(tail))


@contextmanager
def _stops() -> Iterator[list[int]]:
    """Collect Ctrl-C, which in the midst of a step would tear the weights; the second one raises.

    Signals reach the main thread alone, and only there a handler may be set.
    """
    stops: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stops
        return

    def stop(number: int, _: object) -> None:
        if stops:
            raise KeyboardInterrupt
        stops.append(number)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stops
    finally:
        signal.signal(signal.SIGINT, before)


def _one_step(
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    images: TrainingImages,
    settings: TrainingSettings,
    step: int,
) -> float:
    x0, generator = _batch(images, settings, step)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate_at(step)
    with _autocast(settings.precision):
        value = loss(network, x0, generator).mean()
    if not math.isfinite(value.item()):
        raise BenchError(
            f"The loss is {value.item()} at step {step}: lower the learning rate and start again."
        )
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    # A young average must follow fast, or it would remember the initial weights.
    decay = min(settings.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
    return value.item()


def _batch(
    images: TrainingImages, settings: TrainingSettings, step: int
) -> tuple[Tensor, torch.Generator]:
    """Images of a step, flipped at random, and the generator of its other draws."""
    per_epoch = len(images.pixels) // settings.batch
    epoch, position = divmod(step, per_epoch)
    shuffle = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(len(images.pixels), generator=shuffle)
    indices = order[position * settings.batch : (position + 1) * settings.batch]
    generator = torch.Generator().manual_seed((settings.seed + 1) * 1_000_000_007 + step)
    x0 = images.batch(indices)
    flip = torch.rand(len(x0), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], x0.flip(-1), x0), generator


def _autocast(precision: str) -> Any:
    if precision == "float32":
        return nullcontext()
    return torch.autocast("cpu", dtype=getattr(torch, precision))


def _load(
    checkpoint: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: str,
) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        found = state["identity"]
    except Exception as error:  # noqa: BLE001 - damaged pickles raise a wide variety of types
        raise BenchError(
            f"{checkpoint} is damaged ({type(error).__name__}): remove it to start anew."
        ) from None
    if found != identity:
        raise BenchError(
            f"{checkpoint} belongs to a training with another objective, settings or data: "
            "give the same ones, or another --out."
        )
    network.load_state_dict(state.pop("network"))
    average.load_state_dict(state.pop("average"))
    optimizer.load_state_dict(state.pop("optimizer"))
    return state
