"""What a training shows: the denoising curve, the pictures, the log."""

import io
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bench.images import read_image
from bench.training.monitor import BUCKETS, ErrorCurve, Monitor, Preview, curve_figure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TensorBoard's own
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

NETWORK = nn.Identity()
PREVIEW = Preview(lambda _: torch.zeros(6, 3, 8, 8), 3, "squared error")


def curve(value: float = 0.5) -> ErrorCurve:
    filled = ErrorCurve()
    filled.add(torch.arange(0, 1000, 10), torch.full((100,), value))
    return filled


def events(folder: Path) -> Any:
    found = EventAccumulator(str(folder / "log" / "prior-8"))
    found.Reload()
    return found


def test_errors_are_averaged_in_the_bucket_of_their_timestep() -> None:
    filled = ErrorCurve()
    filled.add(torch.tensor([0, 49, 50, 999]), torch.tensor([1.0, 3.0, 5.0, 7.0]))
    means = filled.means()
    assert (means[0], means[1], means[-1]) == (2.0, 5.0, 7.0)
    assert all(math.isnan(mean) for mean in means[2:-1])
    assert ErrorCurve(**asdict(filled)) == filled


def test_pictures_and_log_are_written(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, "prior-8", PREVIEW)
    monitor.show(3, [0.3, 0.2, 0.1], curve(), NETWORK)
    monitor.close()
    grid = read_image(tmp_path / "prior-8-samples.png")
    assert grid.shape == (2 * 10 + 2, 3 * 10 + 2, 3)  # two rows of three, two pixels between
    assert (grid[2, 2], grid[0, 0]) == (pytest.approx([128] * 3), pytest.approx([255] * 3))
    assert read_image(tmp_path / "prior-8-curve.png").shape == (480, 750, 3)
    scalars = events(tmp_path).Scalars("loss")
    assert [(event.step, round(event.value, 6)) for event in scalars] == [
        (1, 0.3),
        (2, 0.2),
        (3, 0.1),
    ]
    assert [event.value for event in events(tmp_path).Scalars("error/t950")] == [0.5]
    assert [event.step for event in events(tmp_path).Images("samples")] == [3]


def test_the_log_of_a_run_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    first = Monitor(tmp_path, "prior-8", PREVIEW)
    first.show(2, [0.9, 0.8], curve(), NETWORK)
    first.show(4, [0.7, 0.6], curve(), NETWORK)
    first.close()
    again = Monitor(tmp_path, "prior-8", PREVIEW)  # taken up from step 2
    again.show(4, [0.5, 0.4], curve(), NETWORK)
    again.close()
    values = [round(event.value, 6) for event in events(tmp_path).Scalars("loss")]
    assert values == [0.9, 0.8, 0.5, 0.4]


def test_the_figure_shows_curve_and_reference() -> None:
    plain = Image.open(io.BytesIO(curve_figure(curve(), PREVIEW)))
    reference = Preview(PREVIEW.images, 3, "squared error", np.full(1000, 0.1), "Wiener filter")
    beside = Image.open(io.BytesIO(curve_figure(curve(), reference)))
    other = Image.open(io.BytesIO(curve_figure(curve(0.01), PREVIEW)))
    pictures = [np.asarray(image.convert("RGB")) for image in (plain, beside, other)]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert len(curve().means()) == BUCKETS
