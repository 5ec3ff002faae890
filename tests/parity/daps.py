"""DAPS's dump: Langevin dynamics and Hamiltonian Monte Carlo."""

from collections.abc import Iterator

import torch
from torch import Tensor

from baselines import daps
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Network, Prior
from bench.diffusion.schedule import Schedule
from tests.recorded import Case, Dump, plain_convolution


def continuous(dump: Dump) -> Network:
    """Return the damped network of the dump, which takes a continuous time u = t / 999."""
    network = plain_convolution(dump)

    def wrapped(x: Tensor, t: Tensor) -> Tensor:
        u = (t / 999).double()[:, None, None, None]
        level = (1 - torch.exp(-(9.95 * u**2 + 0.1 * u))).sqrt().float()
        return level * x + 0.3 * network(x, t)[:, :3].tanh()

    return wrapped


def check(dump: Dump) -> Iterator[Case]:
    """Compare the sample."""
    size = dump["ref"].shape[-1]
    pattern = r"(x(\d+)_N(\d+)_ode(\d+)_mc(\d+)_(langevin|hmc)_mom([\d.]+))_out"
    for case, name, scale, levels, ode, steps, mcmc, momentum in dump.cases(pattern):
        settings = daps.Settings(
            int(levels),
            int(ode),
            int(steps),
            mcmc=mcmc,  # type: ignore[arg-type]
            momentum=float(momentum),
        )
        prior = Prior(continuous(dump), Schedule.linear())
        noise = dump.noise(name)
        x = daps.sample(prior, dump[f"{name}_y"], bicubic(size, int(scale)), settings, noise)
        yield case, dump.difference(case, x)
        yield f"{name}_draws", float(noise.remaining)
