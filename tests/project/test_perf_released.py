"""What perf measures ours against computes what ours do, so that the two can be compared."""

import copy
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from baselines import ddnm, dps
from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet, UNetConfig
from bench.dpi.sampler import DPISettings, sample
from perf import released

Kind = TypeVar("Kind", bound=UNet)

SIZE, SCALE, STEPS = 16, 4, 5
COUNT = 1  # as released DPI looks for edges in a batch as a whole


def network(kind: type[Kind], out_channels: int) -> tuple[Kind, Kind]:
    """Of random weights everywhere, in the last layers too; ours, and with the released blocks."""
    torch.manual_seed(0)
    ours = kind(UNetConfig(8, (1, 2), 1, (2,), 8, out_channels=out_channels, group_channels=4))
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.2)
    ours.requires_grad_(False).eval()
    theirs = copy.deepcopy(ours)
    released.as_released(theirs)
    return ours, theirs


OURS, THEIRS = network(UNet, 6)
PRIOR = Prior(OURS, Schedule.linear(last=1e-3))  # of so little noise that not all is clipped


def noise() -> KeyedNoise:
    return KeyedNoise([StreamKey(0, str(index)) for index in range(COUNT)])


def measurement(size: int) -> Tensor:
    return torch.rand(COUNT, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def check(ours: Tensor, theirs: Tensor) -> None:
    assert ours.abs().lt(0.99).float().mean() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)  # other places of rounding


def test_the_network() -> None:
    x = measurement(SIZE)
    t = torch.tensor([500])
    ours = OURS(x, t)
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, THEIRS(x, t), rtol=1e-4, atol=1e-5)  # as below


def test_ddnm() -> None:
    y, operator = measurement(SIZE // SCALE), bicubic(SIZE, SCALE)
    prior = PRIOR.respaced(STEPS, "strided")
    ours, _ = ddnm.sample(prior, y, operator, ddnm.Settings(), noise())
    check(ours, released.ddnm(THEIRS, prior.schedule, y, operator, noise()))


def test_dps() -> None:
    y, operator = measurement(SIZE // SCALE), bicubic(SIZE, SCALE)
    prior = PRIOR.respaced(STEPS)
    ours = dps.sample(prior, y, operator, dps.Settings(), noise())
    check(ours, released.dps(THEIRS, prior.schedule, y, operator, noise()))


@pytest.mark.parametrize("tau", [0, 3])
def test_dpi(tau: int) -> None:
    ours, theirs = network(Corrector, 3)
    base = measurement(SIZE // 2)
    settings = DPISettings(tau=tau, s=1.2, omega=5, steps=STEPS, form="released")
    schedule = PRIOR.respaced(STEPS).schedule
    expected = released.dpi(THEIRS, schedule, base, theirs, settings, noise())
    check(sample(PRIOR, ours, base, settings, noise()), expected)
