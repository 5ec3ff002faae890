"""DR2, DifFace and PGDiff, the zero-shot methods that name a second method."""

from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import difface, dr2, pgdiff
from baselines.ilvr import low_pass
from bench.diffusion.operators import (
    bicubic,
    bicubic_up,
)
from bench.diffusion.prior import Prior
from bench.errors import WrongUsage
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.method import Models, Problem, find_method
from tests.oracle import GAUSSIAN, PRIOR_MEAN, REPETITIONS, SCALE, SIZE, explained, many, noise

# DR2


@pytest.mark.parametrize(
    ("down", "tau", "start"),
    [(1, 10, 15), (2, 10, 20), (4, 22, 42), (8, 35, 60), (16, 35, 65), (16, 90, 99)],
)
def test_dr2_starts_later_the_coarser_its_filter(down: int, tau: int, start: int) -> None:
    assert dr2.start_index(down, tau) == start


def test_dr2_keeps_the_low_frequencies_and_forgets_the_rest() -> None:
    prior = GAUSSIAN.prior().respaced(dr2.STEPS)
    low = bicubic_up(SIZE, SCALE)(bicubic(SIZE, SCALE)(GAUSSIAN.draw(1, seed=5)))
    checkers = torch.tensor([[0.3, -0.3], [-0.3, 0.3]]).repeat(1, 3, SIZE // 2, SIZE // 2)
    assert low_pass(checkers, SCALE).abs().max() < 0.02
    images = dr2.sample(prior, many(low + checkers), SCALE, 2, 42, noise(REPETITIONS))
    mean = images.mean(0, keepdim=True)
    # What the filter does not hold comes from the prior, which knows of no checkers.
    assert abs(float((mean * checkers).sum() / checkers.square().sum())) < 0.02
    missed = low_pass(mean - low, SCALE).norm() / low_pass(PRIOR_MEAN - low, SCALE).norm()
    assert missed < 0.15


def test_dr2_hands_its_estimate_to_the_enhancer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Problem] = []
    enhancer = find_method("bicubic")

    def find(name: str) -> Any:
        assert name == "sharpest"

        def restore(problem: Problem, chosen: Any) -> Tensor:
            seen.append(problem)
            return -problem.lr

        return type(enhancer)("sharpest", "Sharpest", enhancer.settings, restore)

    chosen = dr2.published(SCALE)
    plain = dr2.restore(problem(), chosen)
    assert torch.equal(plain, to_model(to_pixels(plain))), "without an enhancer, 8 bits of its own"
    monkeypatch.setattr(dr2, "find_method", find)
    enhanced = dr2.restore(problem(), dr2.Settings(chosen.down, chosen.tau, "sharpest"))
    assert torch.equal(enhanced, -plain)
    assert seen[0].scale == 1


def problem() -> Problem:
    lr = to_model(to_pixels(bicubic(SIZE, SCALE)(GAUSSIAN.draw(1, seed=5))))
    return Problem(lr, SCALE, noise(1), Models(GAUSSIAN.prior()))


@pytest.mark.parametrize("tau", [-1, 99])
def test_dr2_refuses_to_stop_where_it_cannot(tau: int) -> None:
    with pytest.raises(WrongUsage, match=r"settings\.dr2\.tau is -?\d+: choose an index from 0"):
        find_method("dr2").configured(SCALE, {"tau": tau})


# DifFace


def test_difface_contracts_the_estimates_error() -> None:
    prior = GAUSSIAN.prior().respaced(250, "ddim")
    truth = GAUSSIAN.draw(1, seed=5)
    checkers = torch.tensor([[0.3, -0.3], [-0.3, 0.3]]).repeat(1, 3, SIZE // 2, SIZE // 2)

    def remaining(start: int, part: Tensor) -> float:
        """How much of a part of the estimate the mean result has."""
        images = difface.sample(prior, many(truth + checkers), start, 0.5, noise(REPETITIONS))
        found = images.mean(0, keepdim=True) - PRIOR_MEAN
        return float((found * part).sum() / part.square().sum())

    picture = truth - PRIOR_MEAN
    assert remaining(1, checkers) > 0.9
    assert remaining(20, checkers) < 0.2
    assert remaining(20, picture) > 0.65, "the picture survives what its error does not"
    assert abs(remaining(240, picture)) < 0.1, "of pure noise the prior makes what it likes"


def test_difface_starts_at_a_part_of_its_steps() -> None:
    assert difface.Settings().start_index == 100
    assert difface.Settings(steps=20).start_index == 8
    for values in ({"start": 1.0}, {"start": -0.1}, {"steps": 2}):
        with pytest.raises(WrongUsage, match=r"settings\.difface\.start is .* of \d+ steps"):
            find_method("difface").configured(SCALE, values)


# PGDiff


def run_pgdiff(guidance: float) -> Tensor:
    prior = GAUSSIAN.prior().respaced(50, "ddim")
    target = many(GAUSSIAN.draw(1, seed=5))
    draws = noise(REPETITIONS)
    start = draws.normal_like(target)
    return pgdiff.sample(prior, start, lambda _: target, guidance, 1, range(0), draws)


def test_pgdiff_is_pulled_towards_its_target() -> None:
    target = GAUSSIAN.draw(1, seed=5)
    free, little, much = (explained(run_pgdiff(guidance), target) for guidance in (0.0, 0.5, 2.0))
    assert abs(free) < 0.1
    assert little > free + 0.2
    assert much > little + 0.2


def test_pgdiff_keeps_a_steps_target_over_its_passes() -> None:
    prior = GAUSSIAN.prior().respaced(10, "ddim")
    evaluated: list[int] = []
    asked: list[Tensor] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        evaluated.append(int(t[0]))
        return prior.network(x, t)

    def target(x: Tensor) -> Tensor:
        asked.append(x)
        return torch.zeros_like(x)

    start = torch.zeros(1, 3, SIZE, SIZE)
    counted = Prior(network, prior.schedule)
    pgdiff.sample(counted, start, target, 0.1, 3, range(7, 9), noise(1))
    assert evaluated == [900, 800, 800, 800, 700, 700, 700, 600, 500, 400, 300, 200, 100, 0]
    assert len(asked) == 10
    assert asked[0] is start


def test_pgdiff_repeats_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def record(*arguments: Any) -> Tensor:
        calls.append(arguments)
        return torch.zeros(1, 3, SIZE, SIZE)

    monkeypatch.setattr(pgdiff, "sample", record)
    pgdiff.restore(problem(), pgdiff.Settings(passes=2))
    _, _, target, guidance, passes, repeated, _ = calls[0]
    assert (guidance, passes, repeated) == (0.1, 2, range(701, 1000))
    assert torch.equal(target(torch.zeros(1)), resize_bicubic_batch(problem().lr, SIZE))


@pytest.mark.parametrize(
    ("method", "setting"), [("dr2", "enhancer"), ("difface", "estimator"), ("pgdiff", "restorer")]
)
def test_the_other_method_is_looked_up(method: str, setting: str) -> None:
    found = find_method(method)
    with pytest.raises(WrongUsage, match="no method 'bicubik': did you mean bicubic"):
        found.restore(problem(), found.configured(SCALE, {setting: "bicubik"}))
