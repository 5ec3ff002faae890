"""DDNM's dump: measurements, pseudo-inverses and loops without measurement noise."""

from collections.abc import Iterator

from baselines import ddnm
from bench.diffusion.operators import average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.recorded import Case, Dump, convolution

OPERATORS = {"avg": average_pooling, "bic": bicubic}


def check(dump: Dump) -> Iterator[Case]:
    """DDNM's main path, its pseudo-inverse and time travel."""
    size = dump["ref"].shape[-1]
    pattern = r"((avg|bic)(\d+)_T(\d+)L(\d+)R(\d+)_s0\.0)_out"
    for case, name, kind, scale, steps, length, repeat in dump.cases(pattern):
        operator = OPERATORS[kind](size, int(scale))
        low = size // int(scale)
        y = dump[f"{name}_y"].reshape(-1, 3, low, low)
        yield f"{name}_y", float((operator(dump["ref"]) - y).abs().max())
        yield f"{name}_Apy", dump.difference(f"{name}_Apy", operator.pseudo_inverse(y))
        settings = ddnm.Settings(
            steps=int(steps), travel_length=int(length), travel_repeat=int(repeat)
        )
        schedule = Schedule.linear().respaced(int(steps), "strided")
        noise = dump.noise(name)
        prior = Prior(convolution(dump), schedule)
        x, x0 = ddnm.sample(prior, y, operator, settings, noise)
        yield case, dump.difference(case, x)
        yield f"{name}_x0", dump.difference(f"{name}_x0", x0)
        yield f"{name}_draws", float(noise.remaining)
