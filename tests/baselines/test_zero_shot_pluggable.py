"""DR2, DifFace and PGDiff, the zero-shot methods that name a second method."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import difface, dr2, pgdiff
from baselines.ilvr import low_pass
from bench.core.errors import BenchError, WrongUsage
from bench.diffusion.noise import KeyedNoise
from bench.diffusion.operators import (
    bicubic,
    bicubic_up,
)
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.methods import Method, Models, Problem, catalogue, configure, find_method
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


class Silence(KeyedNoise):
    """Noise that is none, so that levels can be seen."""

    def normal_like(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_dr2_goes_down_the_levels_of_its_reference() -> None:
    """With a filter that holds everything, and no noise, x is the reference at each level."""
    told: list[int] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        told.append(int(t[0]))
        return torch.zeros_like(x)

    prior = Prior(network, Schedule.linear()).respaced(dr2.STEPS)
    reference = GAUSSIAN.draw(1, seed=5)
    clean = dr2.sample(prior, reference, down=1, tau=22, start=27, noise=Silence([]))
    assert told == [int(prior.schedule.timesteps[index]) for index in (27, 26, 25, 24, 23, 22)]
    torch.testing.assert_close(clean, reference)  # told the level that x has, it is found again


def test_dr2_hands_its_estimate_to_the_enhancer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Problem] = []

    def negative(problem: Problem, chosen: Any) -> Tensor:
        seen.append(problem)
        return -problem.lr

    plain = restored("dr2")
    assert torch.equal(plain, to_model(to_pixels(plain))), "without an enhancer, 8 bits of its own"
    stand_in(monkeypatch, negative)
    assert torch.equal(restored("dr2", enhancer="stand-in"), -plain)
    assert seen[0].scale == 1


@pytest.mark.parametrize(("method", "setting"), [("difface", "estimator"), ("pgdiff", "restorer")])
def test_the_input_is_handed_to_the_other_method(
    monkeypatch: pytest.MonkeyPatch, method: str, setting: str
) -> None:
    bicubic_seen = restored(method, **{setting: "bicubic"})
    assert torch.equal(restored(method), bicubic_seen), "which is the default at this size"

    def flat(problem: Problem, chosen: Any) -> Tensor:
        assert problem.scale == SCALE
        return torch.full((1, 3, SIZE, SIZE), 0.5)

    stand_in(monkeypatch, flat)
    assert not torch.equal(restored(method, **{setting: "stand-in"}), bicubic_seen)


@dataclass(frozen=True)
class NoSettings:
    """Of the stand-in."""


def stand_in(monkeypatch: pytest.MonkeyPatch, restore: Callable[[Problem, Any], Tensor]) -> None:
    """Make `restore` a method by the name of "stand-in"."""
    method = Method("stand-in", "Stand-in", lambda scale: NoSettings(), restore)
    monkeypatch.setattr(
        catalogue, "find_method", lambda name: method if name == "stand-in" else find_method(name)
    )


def restored(name: str, **settings: Any) -> Tensor:
    steps = {} if name == "dr2" else {"steps": 20}
    configured = configure(find_method(name), SCALE, SIZE, {name: {**steps, **settings}})
    return configured.restore(problem())


def problem() -> Problem:
    lr = to_model(to_pixels(bicubic(SIZE, SCALE)(GAUSSIAN.draw(1, seed=5))))
    return Problem(lr, SCALE, noise(1), Models(GAUSSIAN.prior()))


@pytest.mark.parametrize("tau", [-1, 99])
def test_dr2_refuses_to_stop_where_it_cannot(tau: int) -> None:
    with pytest.raises(
        WrongUsage, match=r"settings\.dr2\.tau is -?\d+, but must be between 0 and 98"
    ):
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


def test_difface_begins_one_level_above_its_first_step() -> None:
    """Without noise, and of a network that sees none, what is left is the ratio of the levels."""
    prior = Prior(lambda x, t: torch.zeros_like(x), Schedule.linear()).respaced(250, "ddim")
    estimate = GAUSSIAN.draw(1, seed=5)
    found = difface.sample(prior, estimate, 100, 0.5, Silence([]))
    power = prior.schedule.alpha_bar[100] / prior.schedule.alpha_bar[99]
    torch.testing.assert_close(found, (power**0.5 * estimate).float())


def test_difface_starts_at_a_part_of_its_steps() -> None:
    assert difface.Settings().start_index == 100
    assert difface.Settings(steps=20).start_index == 8
    for values in ({"start": 1.0}, {"steps": 2}):
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


def test_pgdiff_moves_the_mean_by_the_gradient_of_the_squared_distance() -> None:
    """Two steps by hand: 2 guidance sigma^2 (x0_hat - target), the variance, not the deviation."""
    prior = Prior(lambda x, t: torch.zeros_like(x), Schedule.linear()).respaced(2)
    schedule, target, guidance = prior.schedule, GAUSSIAN.draw(1, seed=6), 0.3
    x = GAUSSIAN.draw(1, seed=5)
    found = pgdiff.sample(prior, x, lambda _: target, guidance, 1, range(0), Silence([]))
    variance = float(schedule.posterior_variance[1])  # of both, as index 0 has index 1's
    for index in (1, 0):
        x0 = (x / schedule.alpha_bar[index] ** 0.5).clamp(-1, 1)
        mean = schedule.posterior_x0_weight[index] * x0 + schedule.posterior_xt_weight[index] * x
        x = (mean - guidance * variance * 2 * (x0 - target)).float()
    torch.testing.assert_close(found, x)


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
    configure(find_method("pgdiff"), SCALE, SIZE, {"pgdiff": {"passes": 2}}).restore(problem())
    _, _, target, guidance, passes, repeated, _ = calls[0]
    assert (guidance, passes, repeated) == (0.1, 2, range(701, 1000))
    assert torch.equal(target(torch.zeros(1)), resize_bicubic_batch(problem().lr, SIZE))


# The method inside

PLACES = [("dr2", "enhancer"), ("difface", "estimator"), ("pgdiff", "restorer")]


@pytest.mark.parametrize(("method", "setting"), PLACES)
def test_the_other_method_is_looked_up(method: str, setting: str) -> None:
    with pytest.raises(WrongUsage, match="no method 'bicubik': did you mean 'bicubic'"):
        configure(find_method(method), SCALE, SIZE, {method: {setting: "bicubik"}})


@pytest.mark.parametrize(
    ("method", "inner"), [("dr2", "codeformer"), ("difface", "swinir"), ("pgdiff", "bicubic")]
)
def test_at_512_px_the_released_choice_is_the_default(method: str, inner: str) -> None:
    configured = configure(find_method(method), SCALE, 512)
    assert [part.method.name for part in configured.parts] == [method, inner]
    assert configured.parts[1].scale == SCALE
    assert configure(find_method(method), SCALE, 64).parts[1].method.name == "bicubic"


def test_all_that_determines_the_method_inside_is_among_the_facts() -> None:
    chosen: dict[str, dict[str, Any]] = {
        "dr2": {"enhancer": "codeformer"},
        "codeformer": {"fidelity": 0.7},
    }
    facts = configure(find_method("dr2"), SCALE, SIZE, chosen).facts()
    codeformer = {"method": "codeformer", "revision": 1, "settings": {"fidelity": 0.7}}
    assert facts == {"down": 4, "tau": 22, "enhancer": codeformer}
    assert configure(find_method("codeformer"), 4, SIZE).facts() == {"fidelity": 0.5}


def test_a_method_is_not_put_inside_of_itself() -> None:
    for chosen in (
        {"dr2": {"enhancer": "dr2"}},
        {"dr2": {"enhancer": "difface"}, "difface": {"estimator": "dr2"}},
    ):
        with pytest.raises(WrongUsage, match=r"'dr2', which contains \w+ itself"):
            configure(find_method("dr2"), SCALE, SIZE, chosen)


def test_without_its_method_inside_none_can_restore() -> None:
    with pytest.raises(BenchError, match=r"No inner method is set: call `bench\.method"):
        difface.restore(problem(), difface.Settings(steps=20))
