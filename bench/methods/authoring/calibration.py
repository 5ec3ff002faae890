"""Calibration of a method on Gaussian images, whose posterior is known exactly.

An exact posterior sampler has the mean and variance of the posterior, its intervals cover the truth
as often as they state, and its mean squared error is twice that of the posterior mean (the minimum
mean squared error, MMSE).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import WrongUsage
from bench.core.progress import track
from bench.diffusion.gaussian import GaussianImages
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.methods.interface import Configured, Models, Problem

SIZE, SCALE = 16, 4
TRUTHS, REPETITIONS, TAIL = 12, 39, 2
LEVEL = (REPETITIONS + 1 - 2 * TAIL) / (REPETITIONS + 1)
"""Level of the intervals whose coverage is counted: 0.9, excluding TAIL ranks on each side.

Among exchangeable draws all ranks of the truth, from 0 to REPETITIONS, are equally probable.
"""

EXACT = frozenset({"prior", "corrector"})
"""Kinds of networks with an exact version."""


@dataclass(frozen=True)
class Calibration:
    """Agreement of a method's repetitions with the posterior; each is 1 for an exact sampler.

    Attributes:
        mean: 1 minus the ratio of two RMS distances from the posterior mean: that of the mean of
            the repetitions, and that of the prior mean.
        spread: variance of the repetitions, divided by the posterior's.
        coverage: fraction of pixels whose truth is in the central interval, divided by 0.9.
        error: mean squared error of a repetition, divided by twice the MMSE.
        consistency: 1 minus the ratio of the RMS of A x - y to that of the prior mean.
    """

    mean: float
    spread: float
    coverage: float
    error: float
    consistency: float

    @property
    def departures(self) -> list[str]:
        """Return significant deviations from an exact sampler, given the number of repetitions."""
        wanted = {
            "mean": (0.95, 1.05),
            "spread": (0.9, 1.1),
            "coverage": (0.95, 1.05),
            "error": (0.9, 1.1),
            "consistency": (0.99, 1.01),
        }
        return [
            f"{name} {getattr(self, name):.3f} is not within {low} to {high}"
            for name, (low, high) in wanted.items()
            if not low <= getattr(self, name) <= high
        ]


def calibrate(configured: Configured) -> Calibration:
    """Restore Gaussian images [3, 16, 16] at x4 repeatedly by a method with exact networks.

    Raises:
        WrongUsage: the method needs a network that is not known exactly, or none.
    """
    if unknown := sorted(set(configured.needs) - EXACT):
        raise WrongUsage(
            f"{configured.method.name} needs {unknown[0]}, of which no exact one is known: "
            "choose a method that needs a prior or a Corrector alone."
        )
    if not configured.needs:
        raise WrongUsage(
            f"{configured.method.name} needs no network, and samples nothing: choose another one."
        )
    images, operator = GaussianImages.smooth(SIZE), bicubic(SIZE, SCALE)
    truths = images.draw(TRUTHS, seed=0)
    posterior = images.posterior_mean(operator, operator(truths))
    variance = images.posterior_covariance(operator).diagonal().mean()
    start = images.mean.reshape(1, 3, SIZE, SIZE).float()
    samples = torch.stack(
        [
            _repetitions(configured, images, operator(truth[None]), mean, place)
            for place, (truth, mean) in enumerate(
                zip(truths, track(posterior, configured.method.title, TRUTHS), strict=True)
            )
        ]
    )  # [truth, repetition, 3, 16, 16]
    means = samples.mean(1)
    # The mean of R draws has variance / R even if the method is exact.
    missed = (means - posterior).square().mean() - samples.var(1).mean() / REPETITIONS
    ranks = (samples < truths[:, None]).sum(1)
    inside = ((ranks >= TAIL) & (ranks <= REPETITIONS - TAIL)).double().mean()
    measured = operator(truths).repeat_interleave(REPETITIONS, 0)
    residual = operator(samples.flatten(0, 1)) - measured
    blind = operator(start) - operator(truths)
    return Calibration(
        mean=1 - float((missed.clamp(min=0) / (start - posterior).square().mean()).sqrt()),
        spread=float(samples.var(1).mean() / variance),
        coverage=float(inside / LEVEL),
        error=float((samples - truths[:, None]).square().mean() / (2 * variance)),
        consistency=1 - float((residual.square().mean() / blind.square().mean()).sqrt()),
    )


def _repetitions(
    configured: Configured, images: GaussianImages, y: Tensor, mean: Tensor, place: int
) -> Tensor:
    """Return restorations [R, 3, 16, 16] of one measurement [1, 3, 4, 4]."""

    def corrector(condition: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        return mean.expand_as(condition)

    networks: dict[str, Any] = {"prior": images.network(), "corrector": corrector}
    names = tuple(f"{place}-{repetition}" for repetition in range(REPETITIONS))
    problem = Problem(
        lr=y.expand(REPETITIONS, -1, -1, -1),
        scale=SCALE,
        noise=KeyedNoise([StreamKey(place, "oracle", r) for r in range(REPETITIONS)]),
        models=Models(images.prior(), corrector, networks),
        images=names,
    )
    with torch.no_grad():
        return configured.restore(problem)
