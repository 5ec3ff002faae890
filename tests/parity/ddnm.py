"""DDNM's dump: measurements, pseudo-inverses and loops."""

from collections.abc import Iterator

import torch

from baselines import ddnm
from bench.diffusion.operators import average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.recorded import Case, Dump, RecordedNoise, convolution

OPERATORS = {"avg": average_pooling, "bic": bicubic}


def check(dump: Dump) -> Iterator[Case]:
    """Compare DDNM's main path, pseudo-inverse and time travel; DDNM+ where sigma_y is not 0."""
    size = dump["ref"].shape[-1]
    pattern = r"((avg|bic)(\d+)_T(\d+)L(\d+)R(\d+)_s([\d.e-]+))_out"
    for case, name, kind, scale, steps, length, repeat, sigma in dump.cases(pattern):
        operator = OPERATORS[kind](size, int(scale))
        low = size // int(scale)
        y = dump[f"{name}_y"].reshape(-1, 3, low, low)
        draws = dump.draws(name)
        clean = operator(dump["ref"]).reshape(dump[f"{name}_y"].shape)
        if draws[0][1].size == clean.numel():  # measurement noise, if any, is drawn first
            clean = clean + float(sigma) * torch.from_numpy(draws.pop(0)[1]).reshape(clean.shape)
        yield f"{name}_y", dump.difference(f"{name}_y", clean)
        yield f"{name}_Apy", dump.difference(f"{name}_Apy", operator.pseudo_inverse(y))
        settings = ddnm.Settings(
            steps=int(steps),
            travel_length=int(length),
            travel_repeat=int(repeat),
            sigma_y=float(sigma),
            operator="average" if kind == "avg" else "bicubic",
            form="released" if kind == "avg" else "svd",
        )
        schedule = Schedule.linear().respaced(int(steps), "strided")
        noise = RecordedNoise(draws)
        prior = Prior(convolution(dump), schedule)
        x, x0 = ddnm.sample(prior, y, operator, settings, noise)
        yield case, dump.difference(case, x)
        yield f"{name}_x0", dump.difference(f"{name}_x0", x0)
        yield f"{name}_draws", float(noise.remaining)
