"""Training loop: AdamW and EMA, on the devices found by Accelerate."""

import copy
import hashlib
import math
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError, Terminated
from bench.core.progress import progress
from bench.training.checkpoint import TrainingCheckpoint
from bench.training.data import TrainingImages
from bench.training.monitor import ErrorCurve, Monitor
from bench.training.objectives import Losses
from bench.training.processes import accelerated, stops
from bench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


Objective = Callable[[nn.Module, Tensor, torch.Generator], Losses]
"""(network, images [B, 3, H, W] in [-1, 1], generator on their device) -> losses per image."""


@dataclass(frozen=True)
class Trained:
    """Result of training: EMA weights on the CPU, and the loss curve.

    `final_loss` is the mean over the last tenth of the steps.
    """

    network: nn.Module
    final_loss: float
    curve: ErrorCurve


def train(
    network: nn.Module,
    objective: Objective,
    images: TrainingImages,
    settings: TrainingSettings,
    checkpoint: TrainingCheckpoint,
    monitor: Monitor | None = None,
    every: int = 500,
    changed_data: bool = False,
) -> Trained | None:
    """Train or resume; return None on ranks other than 0.

    Images, flips, timesteps and noise of a step depend only on (seed, step) and the position in the
    batch, so that a resumed run continues as if it had not been stopped, on a CPU bit for bit.
    Every `every` steps, and at the end, the state is saved and then shown to `monitor`. A stop
    (Ctrl-C, SIGTERM) takes effect between two steps and saves the state first.

    Raises:
        BenchError: fewer images than a batch, a batch that the processes can't share evenly, a
            full disk, a checkpoint that is damaged or of another training run, or a loss that is
            not finite.
        KeyboardInterrupt, Terminated: stopped, after saving.
    """
    if len(images.pixels) < settings.batch:
        raise BenchError(
            f"{len(images.pixels)} images do not fill a batch of {settings.batch}: "
            "give more images or a smaller --batch."
        )
    state = checkpoint.load(changed_data)
    checkpoint.check_room(network)
    with accelerated(settings) as accelerator:
        run = TrainingRun(network, objective, images, settings, accelerator)

        def save() -> None:
            if accelerator.is_main_process:
                checkpoint.save(run.state())

        def show() -> None:
            if monitor is not None and accelerator.is_main_process:
                monitor.show(run.step, run.losses[-every:], run.last_curve, run.average)

        if state is not None:
            run.restore(state)
            if run.step == settings.steps:
                show()  # a kill may fall between the last state and its pictures

        with (
            progress("training", settings.steps, run.step, accelerator.is_main_process) as advance,
            stops(accelerator) as stopped,
        ):
            while run.step < settings.steps and not stopped():
                run.advance()
                recent = run.losses[-100:]
                advance(note=f"loss {sum(recent) / len(recent):.4f}")
                due = run.step % every == 0 or run.step == settings.steps
                if due and accelerator.is_main_process:
                    run.last_curve, run.curve = run.curve, ErrorCurve()
                    save()
                    show()
            if (signal_number := stopped()) and run.step < settings.steps:
                save()
        if monitor is not None:
            monitor.close()
        is_main = accelerator.is_main_process
    if signal_number and run.step < settings.steps:
        raise Terminated if signal_number == signal.SIGTERM else KeyboardInterrupt
    if not is_main:
        return None
    tail = run.losses[-max(1, len(run.losses) // 10) :]
    return Trained(run.average.cpu(), sum(tail) / len(tail), run.last_curve)


class TrainingRun:
    """State of a training run, and its step."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        images: TrainingImages,
        settings: TrainingSettings,
        accelerator: "Accelerator",
    ) -> None:
        parts = accelerator.num_processes * settings.accumulate
        if settings.batch % parts:
            raise BenchError(
                f"A batch of {settings.batch} does not split evenly into {parts} passes "
                f"({accelerator.num_processes} processes x --accumulate {settings.accumulate}): "
                "give a multiple."
            )
        network = network.to(accelerator.device)
        if accelerator.device.type == "cuda":  # on a CPU it costs a fifth of the speed
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._plain, self._optimizer = network, optimizer
        self._network, self._prepared_optimizer = accelerator.prepare(network, optimizer)
        self._objective, self._images = objective, images
        self._settings, self._accelerator, self._parts = settings, accelerator, parts
        self.step = 0
        self.losses: list[float] = []
        self.curve = ErrorCurve()
        self.last_curve = ErrorCurve()

    def state(self) -> dict[str, Any]:
        """Return the state from which training resumes."""
        scaler = self._accelerator.scaler
        return {
            "step": self.step,
            "losses": self.losses,
            "curve": asdict(self.curve),
            "last_curve": asdict(self.last_curve),
            "network": self._plain.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state`."""
        self.step, self.losses = state["step"], state["losses"]
        self.curve = ErrorCurve(**state["curve"])
        self.last_curve = ErrorCurve(**state["last_curve"])
        self._plain.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._accelerator.scaler is not None and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def advance(self) -> None:
        """Take one optimiser step over all micro-batches, and update the EMA."""
        rate = self._settings.learning_rate_at(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self._accelerator.device)
        for part in range(self._settings.accumulate):
            with self._accelerator.accumulate(self._network):
                x0, generator = self._part(part)
                losses = self._objective(self._network, x0, generator)
                value = losses.objective.mean()
                self._accelerator.backward(value)
                if self._accelerator.sync_gradients:
                    self._accelerator.clip_grad_norm_(self._network.parameters(), 1.0)
                self._prepared_optimizer.step()
                self._prepared_optimizer.zero_grad(set_to_none=True)
            total += value.detach() / self._settings.accumulate
            self.curve.add(losses.t, losses.error)
        loss = float(self._accelerator.reduce(total, "mean"))
        if not math.isfinite(loss):
            raise BenchError(
                f"The loss is {loss} at step {self.step}: lower the learning rate and start again."
            )
        self._update_ema(1 - self._settings.ema_decay_at(self.step))
        self.losses.append(loss)
        self.step += 1

    @torch.no_grad()
    def _update_ema(self, share: float) -> None:
        """Move the EMA towards the weights by this fraction."""
        torch._foreach_lerp_(  # used by torch.optim; has no public name
            list(self.average.parameters()), list(self._plain.parameters()), share
        )

    def _part(self, part: int) -> tuple[Tensor, torch.Generator]:
        """Return this process's randomly flipped images of a step, and their generator."""
        settings, pixels = self._settings, self._images.pixels
        epoch, position = divmod(self.step, len(pixels) // settings.batch)
        shuffle = torch.Generator().manual_seed(_seed(settings.seed, "epoch", epoch))
        order = torch.randperm(len(pixels), generator=shuffle)
        place = self._accelerator.process_index * settings.accumulate + part
        size = settings.batch // self._parts
        begin = position * settings.batch + place * size
        device = self._accelerator.device
        seed = _seed(settings.seed, "step", self.step, place)
        generator = torch.Generator(device).manual_seed(seed)
        x0 = self._images.batch(order[begin : begin + size]).to(device)
        flip = torch.rand(len(x0), generator=generator, device=device) < 0.5
        return torch.where(flip[:, None, None, None], x0.flip(-1), x0), generator


def _seed(*parts: object) -> int:
    """Return a seed that depends on all parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7])
