"""DPI: its masks, its conditions, and what its two forms promise."""

import dataclasses
from typing import Literal

import pytest
import torch
from torch import Tensor

from baselines.dpi import METHOD
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.dpi import masks
from bench.dpi.sampler import DPISettings, base_condition, initial_condition, sample, states, step
from bench.images import resize_bicubic, to_model, to_pixels
from tests.small import picture

PRIOR = Prior(lambda x, t: torch.cat([0.8 * x, torch.zeros_like(x)], 1), Schedule.linear())
SETTINGS = DPISettings(tau=300, s=1.2, omega=750, steps=20)


def keep(condition: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
    """A Corrector that corrects nothing."""
    return condition


def streams(count: int) -> KeyedNoise:
    return KeyedNoise([StreamKey(0, f"face-{i}") for i in range(count)])


def faces(count: int, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_states_are_what_sampling_passes_through() -> None:
    base = faces(1, 8)
    passed = list(states(PRIOR, keep, base, SETTINGS, streams(1)))
    schedule = PRIOR.respaced(SETTINGS.steps).schedule
    assert [state.t for state in passed] == [*(schedule.timesteps[::-1] + 1), 0]
    assert torch.equal(passed[0].y, initial_condition(base, SETTINGS))
    assert torch.equal(passed[-1].x, sample(PRIOR, keep, base, SETTINGS, streams(1)))
    # Each state is what the next step begins with: the noise is drawn in the same order.
    noise = streams(1)
    assert torch.equal(passed[0].x, noise.normal_like(passed[0].y))
    prior, first = PRIOR.respaced(SETTINGS.steps), passed[0]
    x, y, _ = step(prior, keep, first.x, first.y, first.y, len(schedule) - 1, SETTINGS, noise)
    assert torch.equal(passed[1].x, x)
    assert torch.equal(passed[1].y, y)


def test_the_base_condition_has_the_size_of_the_grid() -> None:
    lr = to_model([picture(size=4), picture(1, size=4)])
    base = base_condition(lr, 16, SETTINGS)
    assert base.shape == (2, 3, 8, 8)
    assert (to_pixels(base)[1] == resize_bicubic(picture(1, size=4), 8)).all()


def test_fixed_mask_is_every_kth_pixel() -> None:
    mask = masks.fixed_mask(6, 2)[0, 0]
    assert mask[0].tolist() == [1, 0, 1, 0, 1, 0]
    assert mask[1].sum() == 0
    assert masks.fixed_mask(9, 3).sum() == 9


def test_initial_condition_is_the_base_on_the_grid() -> None:
    base = faces(2, 8)
    y_T = initial_condition(base, SETTINGS)
    assert torch.equal(y_T[..., ::2, ::2], base)
    assert y_T.abs().sum() == base.abs().sum()
    released = initial_condition(base, dataclasses.replace(SETTINGS, form="released"))
    assert torch.equal(released[..., ::2, ::2], base)
    assert released[0, 0, 1, 1] == pytest.approx(1e-6)


def test_edges_are_likely_and_plains_are_not() -> None:
    y = torch.full((1, 3, 16, 16), -1.0)
    y[..., 8:] = 1.0
    probability = masks.edge_probability(y, k=2, s=1.0)[0, 0]
    assert probability.shape == (8, 8)
    assert probability.max() == 1
    assert probability.min() == 0
    # The paper's Laplacian is signed: dark side of an edge 1, bright side 0, plains in between.
    torch.testing.assert_close(probability[0], torch.tensor([0.5, 0.5, 0.5, 1, 0, 0.5, 0.5, 0.5]))
    absolute = masks.released_edge_probability(y, k=2, s=1.0)[0, 0]
    torch.testing.assert_close(absolute[0], torch.tensor([0.0, 0, 0, 1, 1, 0, 0, 0]))


def test_s_sharpens() -> None:
    y = faces(1)
    once = masks.edge_probability(y, 2, 1.0)
    torch.testing.assert_close(masks.edge_probability(y, 2, 1.4), once**1.4)


def test_a_constant_image_has_no_edges() -> None:
    y = torch.full((2, 3, 16, 16), 0.3)
    y[1] = faces(1)[0]
    for probability in (masks.edge_probability(y, 2, 1.2), masks.edge_probability(y[:1], 2, 1.2)):
        assert probability.isfinite().all()
        assert probability[0].max() == 0
    assert masks.released_edge_probability(y[:1], 2, 1.2).max() == 0


def test_a_constant_input_is_restored() -> None:
    base = torch.full((1, 3, 8, 8), 0.25)
    assert sample(PRIOR, keep, base, SETTINGS, streams(1)).isfinite().all()


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    base = faces(3, 8)
    together = sample(PRIOR, keep, base, SETTINGS, streams(3))
    alone = sample(PRIOR, keep, base[1:2], SETTINGS, KeyedNoise([StreamKey(0, "face-1")]))
    assert torch.equal(alone[0], together[1])


def test_the_released_mask_does_depend_on_them() -> None:
    y = faces(2)
    y[1] *= 0.1
    alone = masks.released_edge_probability(y[1:], 2, 1.2)
    assert not torch.equal(alone, masks.released_edge_probability(y, 2, 1.2)[1:])


def one_step(index: int, settings: DPISettings) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_{t-1}, y_{t-1} and their inputs, for one step from the same state."""
    x, y_T = faces(1), initial_condition(faces(1, 8), settings)
    prior = PRIOR.respaced(settings.steps)
    x_next, y_next, _ = step(prior, keep, x, y_T, y_T, index, settings, streams(1))
    return x_next, y_next, x, y_T


def test_stage_one_imposes_the_condition_on_the_whole_grid() -> None:
    settings = dataclasses.replace(SETTINGS, tau=0)
    x_next, y_next, _, _ = one_step(10, settings)
    grid = masks.fixed_mask(16, 2).bool().expand_as(x_next)
    assert torch.equal(x_next[grid], y_next[grid])
    assert y_next[~grid].abs().max() == 0


def test_stage_two_gives_the_refined_sample_to_the_corrector() -> None:
    settings = dataclasses.replace(SETTINGS, tau=1001)
    x_next, y_next, _, _ = one_step(10, settings)
    torch.testing.assert_close(y_next, x_next * masks.fixed_mask(16, 2))


def test_omega_weighs_the_condition() -> None:
    # w = t / omega: an endless omega leaves the prior's own sample alone.
    free = dataclasses.replace(SETTINGS, tau=1001, omega=1e12)
    none = dataclasses.replace(SETTINGS, tau=1001, omega=1e12, s=1e9)  # no pixel is masked
    torch.testing.assert_close(one_step(10, free)[0], one_step(10, none)[0])
    strong = dataclasses.replace(SETTINGS, tau=1001, omega=500)
    assert not torch.allclose(one_step(10, strong)[0], one_step(10, none)[0])


def test_the_paper_conditions_to_the_end_and_the_release_does_not() -> None:
    paper = dataclasses.replace(SETTINGS, tau=0)
    x_next, _, _, y_T = one_step(0, paper)
    torch.testing.assert_close(x_next[..., ::2, ::2], y_T[..., ::2, ::2], atol=1e-6, rtol=0)
    released = dataclasses.replace(paper, form="released")
    x_next, _, _, y_T = one_step(0, released)
    assert (x_next - y_T)[..., ::2, ::2].abs().max() > 0.1


@pytest.mark.parametrize("steps", [20, 50, 1000])
def test_the_corrector_is_told_the_noise_that_it_sees(steps: int) -> None:
    told: list[int] = []

    def listening(condition: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
        told.append(int(t[0]))
        return condition

    settings = dataclasses.replace(SETTINGS, steps=steps)
    base, prior = faces(1, 8), PRIOR.respaced(steps)
    sample(PRIOR, listening, base, settings, streams(1))
    # It was trained to see x_{t-1} at t; the last x is clean.
    following = prior.schedule.timesteps[:-1][::-1]
    assert told == [*(following + 1), 0]


def test_without_the_corrector_the_condition_stays() -> None:
    def never(*_: Tensor) -> Tensor:
        raise AssertionError

    for tau in (0, 1001):
        settings = dataclasses.replace(SETTINGS, tau=tau, correction="none")
        x, y, y_T = faces(3)[:, None]
        x_next, y_next, _ = step(PRIOR, never, x, y, y_T, 10, settings, streams(1))
        assert y_next is y
        assert not torch.equal(x_next, x)


def test_without_refinement_the_corrector_sees_the_initial_condition_anew() -> None:
    def after(y: Tensor, correction: Literal["refined", "once"]) -> Tensor:
        settings = dataclasses.replace(SETTINGS, tau=0, correction=correction)
        x, _, y_T = faces(3)[:, None]
        return step(PRIOR, keep, x, y, y_T, 10, settings, streams(1))[1]

    y_T, other = faces(3)[2:], faces(3)[1:2]
    assert torch.equal(after(other, "once"), after(y_T, "once"))
    assert not torch.equal(after(other, "refined"), after(y_T, "refined"))
    assert torch.equal(after(y_T, "once"), after(y_T, "refined"))


def test_without_weight_the_condition_counts_whole() -> None:
    t = int(PRIOR.respaced(20).schedule.timesteps[10]) + 1
    whole = dataclasses.replace(SETTINGS, tau=1001, omega=t)
    unweighted = dataclasses.replace(SETTINGS, tau=1001, weighted=False)
    assert torch.equal(one_step(10, unweighted)[0], one_step(10, whole)[0])


def test_tau_counts_training_steps_whatever_the_number_taken() -> None:
    settings = dataclasses.replace(SETTINGS, tau=999 / 19 * 10 + 1.5)  # index 10 is t = 527
    first_stage = dataclasses.replace(settings, tau=0)
    assert not torch.equal(one_step(10, settings)[0], one_step(10, first_stage)[0])
    assert torch.equal(one_step(11, settings)[0], one_step(11, first_stage)[0])


@pytest.mark.parametrize(
    ("scale", "expected"), [(4, (100, 1.4, 500)), (8, (300, 1.2, 750)), (16, (500, 1.0, 1000))]
)
def test_published_settings(scale: int, expected: tuple[float, float, float]) -> None:
    settings = METHOD.settings(scale)
    assert (settings.tau, settings.s, settings.omega) == expected
    assert (settings.k, settings.steps, settings.form) == (2, 1000, "paper")


@pytest.mark.parametrize(("form", "draws"), [("paper", 2), ("released", 1)])
def test_only_the_paper_draws_noise_for_the_condition(
    form: Literal["paper", "released"], draws: int
) -> None:
    drawn: list[torch.Size] = []

    class Counting(KeyedNoise):
        def normal_like(self, x: Tensor) -> Tensor:
            drawn.append(x.shape)
            return super().normal_like(x)

    settings = dataclasses.replace(SETTINGS, form=form)
    x, y_T = faces(1), initial_condition(faces(1, 8), settings)
    noise = Counting([StreamKey(0, "face")])
    step(PRIOR.respaced(20), keep, x, y_T, y_T, 19, settings, noise)
    assert drawn == [x.shape] * draws


def test_the_released_form_takes_no_condition_in_the_last_step() -> None:
    settings = dataclasses.replace(SETTINGS, form="released")
    x, y_T = faces(1), initial_condition(faces(1, 8), settings)
    prior = PRIOR.respaced(20)
    result, y, _ = step(prior, keep, x, y_T, y_T, 0, settings, streams(1))
    assert torch.equal(result, prior.predict(x, 0).mean)
    assert torch.equal(y, y_T)
