"""Monitor training: images beside the checkpoint, and a TensorBoard log."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.files import write_bytes
from bench.diffusion.schedule import Table
from bench.images import Pixels, encode_png, to_pixels
from bench.networks.torchvision_guard import import_torchvision

TIMESTEPS = 1000
BUCKETS = 20


@dataclass
class ErrorCurve:
    """Denoising curve: mean squared error per timestep bucket."""

    sums: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, t: Tensor, error: Tensor) -> None:
        """Add the errors [B] of a batch at timesteps [B]."""
        for bucket, value in zip((t * BUCKETS // TIMESTEPS).tolist(), error.tolist(), strict=True):
            self.sums[bucket] += value
            self.counts[bucket] += 1

    def means(self) -> list[float]:
        """Return the mean error per bucket; NaN if empty."""
        pairs = zip(self.sums, self.counts, strict=True)
        return [total / count if count else float("nan") for total, count in pairs]


@dataclass(frozen=True)
class Preview:
    """Preview of a training task.

    `images` makes images [N, 3, H, W] in [-1, 1] with a network, shown `columns` to a row. `error`
    names the error that the curve shows; `reference`, named by `reference_name`, is a curve over
    all timesteps to compare it with.
    """

    images: Callable[[nn.Module], Tensor]
    columns: int
    error: str
    reference: Table | None = None
    reference_name: str = ""


class Monitor:
    """Writes `<name>-samples.png`, `<name>-curve.png`, and TensorBoard events below `log`."""

    def __init__(self, folder: Path, name: str, preview: Preview) -> None:
        self._folder, self._name, self._preview = folder, name, preview
        self._writer: Any = None

    def show(
        self, step: int, losses: Sequence[float], curve: ErrorCurve, network: nn.Module
    ) -> None:
        """Show the state after `step` steps with the latest `losses`."""
        with torch.no_grad():
            images = self._preview.images(network)
        grid = _grid(images, self._preview.columns)
        write_bytes(self._folder / f"{self._name}-samples.png", encode_png(grid))
        drawing = curve_figure(curve, self._preview)
        write_bytes(self._folder / f"{self._name}-curve.png", drawing)
        writer = self._open(step - len(losses))
        for number, loss in enumerate(losses, start=step - len(losses) + 1):
            writer.add_scalar("loss", loss, number)
        for bucket, mean in enumerate(curve.means()):
            first = bucket * TIMESTEPS // BUCKETS
            writer.add_scalar(f"error/t{first:03d}", mean, step)
        writer.add_image("samples", grid, step, dataformats="HWC")
        writer.flush()

    def close(self) -> None:
        """Finish the log."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        """Open the log and drop an interrupted run's entries after `step`."""
        if self._writer is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TensorBoard's, about its own dependencies
                from torch.utils.tensorboard import SummaryWriter

            folder = self._folder / "log" / self._name
            self._writer = SummaryWriter(str(folder), purge_step=step + 1)
        return self._writer


def curve_figure(curve: ErrorCurve, preview: Preview) -> bytes:
    """Draw the curve as PNG with a logarithmic error axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained", dpi=150)
    axes = figure.subplots()
    middles = (np.arange(BUCKETS) + 0.5) * TIMESTEPS / BUCKETS
    axes.plot(middles, curve.means(), marker="o", markersize=3, label="network")
    if preview.reference is not None:
        axes.plot(preview.reference, linestyle="--", color="0.4", label=preview.reference_name)
        axes.legend(frameon=False)
    axes.set(xlabel="timestep", ylabel=preview.error, yscale="log", xlim=(0, TIMESTEPS))
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _grid(images: Tensor, columns: int) -> Pixels:
    """Arrange images [N, 3, h, w] in rows of `columns` with white borders."""
    import_torchvision()
    from torchvision.utils import make_grid

    return to_pixels(make_grid(images.cpu(), columns, pad_value=1.0)[None])[0]
