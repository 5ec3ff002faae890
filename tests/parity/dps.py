"""DPS's dump: measurements and loops of both samplers."""

from collections.abc import Iterator

import torch

from baselines import dps
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from tests.recorded import Case, Dump, RecordedNoise, adm, respacing_difference


def check(dump: Dump) -> Iterator[Case]:
    """Compare DPS's loop; the reference saves a contrast-stretched image of it (`saved`)."""
    size = dump["ref"].shape[-1]
    pattern = r"((ddpm|ddim)_x(\d+)_s([\d.e-]+)_c([\d.e-]+)_T(\d+))_out"
    for case, name, sampler, factor, sigma, scale, _ in dump.cases(pattern):
        operator = bicubic(size, int(factor))
        # The measurement's noise, x_T, then two draws a step, of which the second goes unused.
        measurement, start, *steps = dump.draws(name)
        yield f"{name}_y", dump.difference(f"{name}_y", operator(dump["ref"]))
        noisy = dump[f"{name}_y"] + float(sigma) * torch.from_numpy(measurement[1])
        yield f"{name}_yn", dump.difference(f"{name}_yn", noisy)
        noise = RecordedNoise([start, *steps[::2]])
        prior = Prior(adm(dump), dump.schedule(name))
        settings = dps.Settings(scale=float(scale), sampler=sampler)  # type: ignore[arg-type]
        out = dps.sample(prior, dump[f"{name}_yn"], operator, settings, noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", respacing_difference(prior.schedule)
        yield f"{name}_draws", float(noise.remaining)
