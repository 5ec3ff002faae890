"""Calibration: an exact sampler of the posterior passes, and each way of departing is told."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.errors import WrongUsage
from bench.diffusion.gaussian import GaussianImages
from bench.diffusion.operators import bicubic
from bench.methods import configure
from bench.methods.authoring.calibration import SCALE, SIZE, Calibration, calibrate
from bench.methods.interface import Configured, Method, Problem
from tests.command import bench, good

IMAGES, OPERATOR = GaussianImages.smooth(SIZE), bicubic(SIZE, SCALE)


@dataclass(frozen=True)
class Settings:
    """`spread` scales the samples' deviation, `bias` moves their mean back to the prior's."""

    spread: float = 1.0
    bias: float = 0.0


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Sample the posterior by its covariance's root."""
    mean = IMAGES.posterior_mean(OPERATOR, problem.lr)
    values, vectors = torch.linalg.eigh(IMAGES.posterior_covariance(OPERATOR))
    root = vectors * values.clamp(min=0).sqrt()
    white = problem.noise.normal_like(mean).flatten(1).double()
    prior = IMAGES.mean.reshape(1, 3, SIZE, SIZE).float()
    centre = (1 - settings.bias) * mean + settings.bias * prior
    return centre + settings.spread * (white @ root.T).reshape(mean.shape).float()


EXACT: Method[Any] = Method(
    "exact", "Exact", lambda scale: Settings(), restore, frozenset({"prior"})
)


def calibrated(**changes: float) -> Calibration:
    return calibrate(Configured(EXACT, Settings(**changes), SCALE))


def test_an_exact_sampler_passes() -> None:
    assert calibrated().departures == []


@pytest.mark.parametrize(
    ("changes", "departing"),
    [
        ({"spread": 0.8}, {"spread", "coverage", "error"}),
        ({"spread": 1.2}, {"spread", "coverage", "error"}),
        ({"bias": 0.2}, {"mean", "consistency"}),
        ({"spread": 0.0}, {"spread", "coverage", "error"}),
    ],
)
def test_departures_are_told(changes: dict[str, float], departing: set[str]) -> None:
    found = {text.partition(" ")[0] for text in calibrated(**changes).departures}
    assert departing <= found
    assert "consistency" in found or "bias" not in changes


def test_the_posterior_mean_errs_half_as_much_as_a_sample() -> None:
    found = calibrated(spread=0.0)
    assert found.error == pytest.approx(0.5, abs=0.05)
    assert found.spread == 0
    assert found.mean == pytest.approx(1, abs=0.01)


def test_the_spread_is_a_ratio_of_variances() -> None:
    assert calibrated(spread=0.8).spread == pytest.approx(0.64, abs=0.05)


def test_the_command_tells_all_numbers_and_a_verdict() -> None:
    out = good("oracle", "ddnm", "--set", "ddnm.steps=10").out
    assert [line.split()[0] for line in out.splitlines()[:5]] == [
        *("mean", "spread", "coverage", "error", "consistency")
    ]
    assert "ddnm is not a sampler of the posterior: " in out
    assert float(out.splitlines()[4].split()[1]) == pytest.approx(1, abs=1e-3)
    assert bench("oracle", "ddnm", "--set", "ddnm.steps=10", "--check").code == 1


def test_a_network_that_is_not_known_exactly_is_refused() -> None:
    with pytest.raises(WrongUsage, match="sr3 needs sr3, of which no exact one is known"):
        calibrate(configure("sr3", SCALE, SIZE))
    with pytest.raises(WrongUsage, match="bicubic needs no network"):
        calibrate(replace(configure("bicubic", SCALE, SIZE)))
