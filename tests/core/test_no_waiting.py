"""No sampler makes an accelerator wait for the host inside its loop.

There need not be a GPU for that: on the "meta" device nothing is computed, reading a value is an
error, and what would be copied from the host can be counted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import (
    daps,
    ddnm,
    ddrm,
    difface,
    diffpir,
    dps,
    dr2,
    fps,
    ilvr,
    mcg,
    mpgd,
    pgdiff,
    pigdm,
    pnpdm,
    reddiff,
    sitcom,
)
from bench.diffusion.operators import OPERATORS, average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import sample_sr3, sr3_schedule
from bench.dpi.sampler import DPISettings
from bench.dpi.sampler import sample as sample_dpi

META = torch.device("meta")
SIZE, SCALE = 16, 4


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts tensors that come from the host to the device, and values that go back."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [a.device for a in args if isinstance(a, Tensor)]
        if "_local_scalar_dense" in str(func) or (
            isinstance(out, Tensor)
            and out.device == META
            and given
            and all(device != META for device in given)
        ):
            self.count += 1
        return out


class OnDevice:
    """Noise that is there already: how it comes is `KeyedNoise`'s concern."""

    def normal_like(self, x: Tensor) -> Tensor:
        return torch.empty_like(x)

    def bernoulli(self, probability: Tensor) -> Tensor:
        return torch.empty_like(probability)


NOISE = OnDevice()


def network(x: Tensor, *conditions: Tensor) -> Tensor:
    return torch.cat([x, x], dim=1)


def image(size: int = SIZE) -> Tensor:
    return torch.empty(2, 3, size, size, device=META)


def prior(steps: int) -> Prior:
    return Prior(network, Schedule.linear()).respaced(steps)


def corrector(y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
    return y + y_T


def dpi(steps: int, **settings: Any) -> None:
    chosen = DPISettings(tau=500, s=1.2, omega=750, steps=steps, **settings)
    sample_dpi(Prior(network, Schedule.linear()), corrector, image(SIZE // 2), chosen, NOISE)


def with_ddnm(steps: int, **settings: Any) -> None:
    chosen = ddnm.Settings(steps=steps, **settings)
    operator = OPERATORS[chosen.operator](SIZE, SCALE)
    ddnm.sample(prior(steps), image(SIZE // SCALE), operator, chosen, NOISE)


def with_ddrm(steps: int) -> None:
    operator = average_pooling(SIZE, SCALE)
    ddrm.sample(prior(steps), image(SIZE // SCALE), operator, ddrm.Settings(steps), NOISE)


def with_dps(steps: int) -> None:
    operator = bicubic(SIZE, SCALE)
    dps.sample(prior(steps), image(SIZE // SCALE), operator, dps.Settings(steps), NOISE)


def with_pigdm(steps: int) -> None:
    operator = bicubic(SIZE, SCALE)
    pigdm.sample(prior(steps), image(SIZE // SCALE), operator, pigdm.Settings(steps), NOISE)


def with_reddiff(steps: int) -> None:
    operator = bicubic(SIZE, SCALE)
    reddiff.optimise(prior(steps), image(SIZE // SCALE), operator, reddiff.Settings(steps), NOISE)


def with_diffpir(steps: int, data: str) -> None:
    whole = Prior(network, Schedule.linear())
    chosen = diffpir.Settings(steps, data=data)  # type: ignore[arg-type]
    y, operator = image(SIZE // SCALE), bicubic(SIZE, SCALE)
    diffpir.sample(whole, y, image(), operator, chosen, NOISE)


def with_daps(steps: int, mcmc: str) -> None:
    whole = Prior(network, Schedule.linear())
    chosen = daps.Settings(steps, 2, 3, mcmc=mcmc)  # type: ignore[arg-type]
    daps.sample(whole, image(SIZE // SCALE), bicubic(SIZE, SCALE), chosen, NOISE)


def with_pnpdm(steps: int) -> None:
    whole = Prior(network, Schedule.linear())
    chosen = pnpdm.Settings(iterations=2, steps=steps)
    pnpdm.sample(whole, image(SIZE // SCALE), bicubic(SIZE, SCALE), chosen, NOISE)


def with_mpgd(steps: int) -> None:
    mpgd.sample(
        prior(steps), image(SIZE // SCALE), bicubic(SIZE, SCALE), mpgd.Settings(steps), NOISE
    )


def with_sitcom(steps: int) -> None:
    chosen = sitcom.Settings(steps, 3)
    sitcom.sample(prior(steps), image(SIZE // SCALE), bicubic(SIZE, SCALE), chosen, NOISE)


def with_mcg(steps: int) -> None:
    mcg.sample(prior(steps), image(SIZE // SCALE), bicubic(SIZE, SCALE), mcg.Settings(steps), NOISE)


def with_fps(steps: int) -> None:
    chosen = fps.Settings(steps, sigma_y=0.1)
    fps.sample(prior(steps), image(SIZE // SCALE), bicubic(SIZE, SCALE), chosen, NOISE)


def with_pgdiff(steps: int) -> None:
    target = image()
    pgdiff.sample(prior(steps), image(), lambda x: target, 0.1, 1, range(0), NOISE)


def with_sr3(steps: int) -> None:
    sample_sr3(lambda x, t, c: x + c, sr3_schedule().respaced(steps), image(), NOISE)


SAMPLERS: dict[str, Callable[[int], object]] = {
    "dpi": dpi,
    "dpi, released": partial(dpi, form="released"),
    "dpi, ddim": partial(dpi, sampler="ddim"),
    "ddnm": with_ddnm,
    "ddnm, simplified": partial(with_ddnm, form="simplified"),
    "ddnm, noisy": partial(with_ddnm, sigma_y=0.1, operator="average"),
    "ddrm": with_ddrm,
    "dps": with_dps,
    "ilvr": lambda steps: ilvr.sample(prior(steps), image(), SCALE, 0, NOISE),
    "dr2": lambda steps: dr2.sample(prior(100), image(), SCALE, 10, 10 + steps, NOISE),
    "difface": lambda steps: difface.sample(prior(100), image(), steps, 0.5, NOISE),
    "pgdiff": with_pgdiff,
    "pigdm": with_pigdm,
    "reddiff": with_reddiff,
    "diffpir, ibp": partial(with_diffpir, data="ibp"),
    "diffpir, gradient": partial(with_diffpir, data="gradient"),
    "daps, langevin": partial(with_daps, mcmc="langevin"),
    "daps, hmc": partial(with_daps, mcmc="hmc"),
    "pnpdm": with_pnpdm,
    "mpgd": with_mpgd,
    "sitcom": with_sitcom,
    "mcg": with_mcg,
    "fps": with_fps,
    "sr3": with_sr3,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_steps_bring_no_more_copies(name: str) -> None:
    counts = []
    for steps in (2, 4, 8):
        with torch.no_grad(), Copies() as copies:
            SAMPLERS[name](steps)
        counts.append(copies.count)
    assert counts[1] == counts[2], "each step copies something"
    assert counts[2] <= 4


def test_a_copy_and_a_value_read_back_are_seen() -> None:
    with Copies() as copies:
        torch.zeros(3).to(META)
        torch.zeros(()).item()
    assert copies.count == 2
