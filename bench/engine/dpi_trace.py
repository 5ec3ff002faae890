"""Trace DPI's condition over the timesteps, as in the paper's Figure 3."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bench.core.errors import BenchError
from bench.core.memory import keep_freed_memory
from bench.core.progress import progress
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.dpi.sampler import DPISettings, base_condition, states
from bench.engine.experiment import Experiment
from bench.engine.models import choose_device, load_models
from bench.images import Pixels, to_model, to_pixels


@dataclass(frozen=True)
class TracedConditions:
    """Conditions of some images at a timestep, or their results at the end.

    `t` counts from 1000, where the condition is y_T; at 0 these are the results x_0.
    Conditions are [H / k, W / k, 3]: the values on the grid, without gaps.
    """

    t: int
    pictures: tuple[Pixels, ...]


def trace_conditions(
    experiment: Experiment, images: Sequence[str], timesteps: Sequence[int]
) -> list[TracedConditions]:
    """Restore images by DPI and return y_T, the conditions at the nearest timesteps, and x_0.

    The results are those of the experiment's run, in float32.

    Raises:
        BenchError: settings that are wrong, or weights that are missing.
    """
    testset, size = experiment.testset, experiment.plan.size
    configured = experiment.configured("dpi")
    dpi: DPISettings = configured.settings
    device = choose_device()
    keep_freed_memory()
    models = load_models(configured, size, experiment.weights, device).models
    if models.prior is None or models.corrector is None:
        raise BenchError("DPI needs a prior and a Corrector.")
    lr = to_model([testset.measurement(image) for image in images]).to(device)
    noise = KeyedNoise([StreamKey(experiment.seed, image) for image in images])
    base = base_condition(lr, size, dpi)
    taken = models.prior.respaced(dpi.steps, dpi.spacing).schedule.timesteps + 1
    nearest = {int(min(taken, key=lambda step: abs(step - t))) for t in timesteps}
    wanted = {int(max(taken)), *nearest}
    kept = []
    with torch.no_grad(), progress("DPI", dpi.steps) as advance:
        for state in states(models.prior, models.corrector, base, dpi, noise):
            if state.t in wanted or state.t == 0:
                shown = state.y[..., :: dpi.k, :: dpi.k] if state.t else state.x
                kept.append(TracedConditions(state.t, tuple(to_pixels(shown))))
            if state.t:
                advance()
    return kept
