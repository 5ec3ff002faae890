"""ILVR step by step: which steps are refined, and at what noise the reference is."""

import torch

from baselines import ilvr
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior, ancestral_step, noised
from bench.diffusion.schedule import Schedule

PRIOR = Prior(lambda x, t: torch.cat([0.8 * x, torch.zeros_like(x)], 1), Schedule.linear())
REFERENCE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_steps_above_the_range_take_over_the_reference_at_their_noise() -> None:
    prior = PRIOR.respaced(3)
    noise = KeyedNoise([StreamKey(0, "face")])
    x = noise.normal_like(REFERENCE)
    for index, refined in ((2, True), (1, False), (0, False)):  # range_t is 1
        prediction = prior.predict(x, index)
        x = ancestral_step(prediction.mean, prediction.log_variance, noise.normal_like(x), index)
        if refined:
            target = noised(prior.schedule, REFERENCE, noise.normal_like(x), 2)
            x = x - ilvr.low_pass(x, 4) + ilvr.low_pass(target, 4)
    result = ilvr.sample(prior, REFERENCE, 4, 1, KeyedNoise([StreamKey(0, "face")]))
    torch.testing.assert_close(result, x, atol=1e-5, rtol=0)  # float32, added up in another order
