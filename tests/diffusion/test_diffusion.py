"""Schedule, noise streams and network: the machinery that all samplers share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.diffusion import noise
from bench.diffusion import prior as steps
from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule, gather, q_posterior_mean, q_sample
from bench.diffusion.unet import UNet, UNetConfig, infer_config
from bench.training.architectures import CORRECTOR_64, CORRECTOR_256, PRIOR_64, PRIOR_128, PRIOR_256
from tests.recorded import RecordedNoise

LINEAR = Schedule.linear()
FULL = [(UNet, PRIOR_256, 93_563_910), (Corrector, CORRECTOR_256, 5_867_427)]


def test_known_values_of_the_linear_schedule() -> None:
    assert LINEAR.alpha_bar[0] == pytest.approx(1 - 1e-4)
    assert LINEAR.alpha_bar[-1] == pytest.approx(4.0358e-5, rel=1e-4)  # Ho et al. 2020
    assert LINEAR.posterior_variance[0] == 0
    assert LINEAR.posterior_log_variance[0] == np.log(LINEAR.posterior_variance[1])


@pytest.mark.parametrize(
    ("spacing", "count", "first", "last"),
    [
        ("even", 20, [0, 53, 105], 999),
        ("even", 1000, [0, 1, 2], 999),
        ("even", 1, [0], 0),
        ("ddim", 20, [0, 50, 100], 950),
        ("ddim", 30, [0, 34, 68], 986),
        ("strided", 30, [0, 33, 66], 957),
    ],
)
def test_respacing_keeps_the_marginals(
    spacing: str, count: int, first: list[int], last: int
) -> None:
    respaced = LINEAR.respaced(count, spacing)
    assert list(respaced.timesteps[: len(first)]) == first
    assert respaced.timesteps[-1] == last
    assert len(respaced) == count
    np.testing.assert_allclose(respaced.alpha_bar, LINEAR.alpha_bar[respaced.timesteps], rtol=1e-12)


@pytest.mark.parametrize(
    ("spacing", "count"), [("even", 0), ("even", 1001), ("ddim", 999), ("linear", 10)]
)
def test_impossible_respacings_are_refused(spacing: str, count: int) -> None:
    with pytest.raises(BenchError):
        LINEAR.respaced(count, spacing)


def test_posterior_is_that_of_bayes() -> None:
    # q(x_{t-1} | x_t, x_0) from q(x_{t-1} | x_0) and q(x_t | x_{t-1}), by precisions.
    t = 400
    beta, previous = LINEAR.betas[t], LINEAR.alpha_bar_prev[t]
    variance = 1 / (1 / (1 - previous) + (1 - beta) / beta)
    x0, x_t = 0.3, -0.7
    mean = variance * (np.sqrt(previous) * x0 / (1 - previous) + np.sqrt(1 - beta) * x_t / beta)
    assert LINEAR.posterior_variance[t] == pytest.approx(variance)
    images = (torch.full((2, 3, 4, 4), x0), torch.full((2, 3, 4, 4), x_t))
    expected = pytest.approx(mean, abs=1e-6)  # float32
    assert float(steps.posterior_mean(LINEAR, *images, t)[0, 0, 0, 0]) == expected
    per_image = q_posterior_mean(LINEAR, *images, torch.tensor([t, t]))
    assert float(per_image[1, 2, 3, 3]) == expected


def test_noising_by_index_and_per_image_agree() -> None:
    x0, eps = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    each = torch.cat(
        [steps.noised(LINEAR, x0[:1], eps[:1], 7), steps.noised(LINEAR, x0[1:], eps[1:], 900)]
    )
    torch.testing.assert_close(q_sample(LINEAR, x0, torch.tensor([7, 900]), eps), each)
    assert gather(LINEAR.alpha_bar, torch.tensor([0, 999])).shape == (2, 1, 1, 1)


def test_eps_and_x0_are_inverse() -> None:
    x, x0 = torch.randn(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    eps = steps.eps_from_x0(LINEAR, x, x0, 500)
    torch.testing.assert_close(steps.x0_from_eps(LINEAR, x, eps, 500), x0, atol=1e-5, rtol=0)


def test_ddim_with_eta_one_is_the_ancestral_step() -> None:
    prior = Prior(lambda x, t: 0.5 * x, LINEAR.respaced(50))
    x, noise = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    prediction = prior.predict(x, 20, clip=False)
    ancestral = steps.ancestral_step(prediction.mean, prediction.log_variance, noise, 20)
    ddim = steps.ddim_step(prior.schedule, prediction.x0_hat, prediction.eps, noise, 20, eta=1.0)
    torch.testing.assert_close(ddim, ancestral, atol=1e-5, rtol=1e-5)


def test_the_last_ancestral_step_adds_no_noise() -> None:
    draws = torch.randn(3, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, log_variance, noise = draws
    assert torch.equal(steps.ancestral_step(mean, log_variance, noise, 0), mean)
    noisy = steps.ancestral_step(mean, log_variance, noise, 1)
    torch.testing.assert_close((noisy - mean) / noise, (0.5 * log_variance).exp())


def test_a_network_is_told_the_timestep_it_was_trained_on() -> None:
    told: list[list[int]] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        told.append(t.tolist())
        return torch.zeros_like(x)

    prior = Prior(network, Schedule.linear()).respaced(10, "even")
    prior.predict(torch.zeros(2, 3, 4, 4), 5)
    assert told == [[int(prior.schedule.timesteps[5])] * 2]
    assert prior.schedule.timesteps[5] > 400  # of 1000, which is not 5 of 10


def test_a_mask_is_set_as_often_as_its_probability_says() -> None:
    drawn = KeyedNoise([StreamKey(0, "a")]).bernoulli(torch.full((1, 1, 100, 100), 0.9))
    # Six standard deviations of 10,000 draws, 0.003 each.
    assert drawn.mean().item() == pytest.approx(0.9, abs=0.018)


def test_learned_variance_lies_between_its_bounds() -> None:
    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        least, most = torch.full_like(x[:1], -1.0), torch.full_like(x[1:], 1.0)
        return torch.cat([x, torch.cat([least, most])], dim=1)

    prediction = Prior(network, LINEAR).predict(torch.randn(2, 3, 4, 4), 300)
    low, high = prediction.log_variance[0], prediction.log_variance[1]
    torch.testing.assert_close(low, torch.full_like(low, LINEAR.posterior_log_variance[300]))
    torch.testing.assert_close(high, torch.full_like(high, np.log(LINEAR.betas[300])))


def test_draws_do_not_depend_on_the_batch() -> None:
    keys = [StreamKey(3, f"face-{i}") for i in range(4)]
    x = torch.zeros(4, 3, 8, 8)
    together = KeyedNoise(keys)
    first, mask = together.normal_like(x), together.bernoulli(torch.full((4, 1, 8, 8), 0.5))
    for i in (2, 0):  # alone, and in another order
        alone = KeyedNoise([keys[i]])
        assert torch.equal(alone.normal_like(x[:1])[0], first[i])
        assert torch.equal(alone.bernoulli(torch.full((1, 1, 8, 8), 0.5))[0], mask[i])
    assert set(mask.flatten().tolist()) == {0.0, 1.0}


def test_draws_in_threads_are_those_without() -> None:
    keys, x = [StreamKey(3, f"face-{i}") for i in range(8)], torch.zeros(8, 3, 128, 128)
    assert x.numel() >= noise._WORTH_THREADS > x[0].numel()
    together = KeyedNoise(keys)
    first, second = (together.normal_like(x) for _ in range(2))
    for index, key in enumerate(keys):
        alone = KeyedNoise([key])
        assert torch.equal(alone.normal_like(x[:1])[0], first[index])
        assert torch.equal(alone.normal_like(x[:1])[0], second[index])


@pytest.mark.parametrize("other", [StreamKey(4, "a"), StreamKey(3, "b"), StreamKey(3, "a", 1)])
def test_every_part_of_a_key_matters(other: StreamKey) -> None:
    x = torch.zeros(1, 3, 8, 8)
    mine = KeyedNoise([StreamKey(3, "a")]).normal_like(x)
    assert not torch.equal(mine, KeyedNoise([other]).normal_like(x))


def test_draws_are_the_same_on_every_machine() -> None:
    draws = KeyedNoise([StreamKey(0, "face-00")]).normal_like(torch.zeros(1, 1, 1, 3))
    assert draws.flatten().tolist() == [
        -0.8373124003410339,
        1.1635479927062988,
        0.26370537281036377,
    ]


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(BenchError, match="one stream per image"):
        KeyedNoise([StreamKey(0, "a")]).normal_like(torch.zeros(2, 3, 4, 4))


def test_recorded_draws_are_checked() -> None:
    noise = RecordedNoise([("randn_like", np.ones((1, 3, 4, 4), np.float32))])
    with pytest.raises(BenchError, match="bernoulli"):
        noise.bernoulli(torch.zeros(1, 3, 4, 4))
    with pytest.raises(BenchError, match="shape"):
        noise.normal_like(torch.zeros(1, 3, 8, 8))
    assert noise.normal_like(torch.zeros(1, 3, 4, 4)).sum() == 48
    with pytest.raises(BenchError, match="ends after 1"):
        noise.normal_like(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(("network", "config", "parameters"), FULL)
def test_published_networks_have_the_published_size(
    network: type[UNet], config: UNetConfig, parameters: int
) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in network(config).parameters()) == parameters


@pytest.mark.parametrize("config", [PRIOR_256, CORRECTOR_256, PRIOR_128, PRIOR_64, CORRECTOR_64])
def test_the_configuration_is_read_off_the_weights(config: UNetConfig) -> None:
    with torch.device("meta"):
        state = UNet(config).state_dict()
    # Neither heads nor groups leave a trace: the former are given, the latter are as published.
    assert infer_config(state, config.head_channels) == replace(config, group_channels=1)


@pytest.mark.parametrize(("group_channels", "told_apart"), [(1, False), (4, True)])
def test_a_narrow_network_sees_the_colour_only_in_groups(
    group_channels: int, told_apart: bool
) -> None:
    torch.manual_seed(0)
    norm = UNet(UNetConfig(32, (1,), 1, (), 32, group_channels=group_channels)).out[0]
    features = torch.randn(1, 32, 8, 8)
    shift = torch.linspace(0, 3, 32)[None, :, None, None]  # another mean in every channel
    assert (not torch.allclose(norm(features), norm(features + shift), atol=1e-5)) is told_apart


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BenchError, match="not an ADM U-Net"):
        infer_config({"conv.weight": torch.zeros(1)}, 64)
    with torch.device("meta"):
        state = UNet(PRIOR_64).state_dict()
    del state["input_blocks.2.0.out_layers.3.weight"]
    with pytest.raises(BenchError, match=r"input_blocks\.2"):
        infer_config(state, 32)
