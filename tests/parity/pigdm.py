"""PiGDM's dump: loops with both weightings of the guidance."""

from collections.abc import Iterator

from baselines import pigdm
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.parity.ddnm import OPERATORS
from tests.recorded import Case, Dump, convolution


def check(dump: Dump) -> Iterator[Case]:
    """Compare the sample and the last x0_hat."""
    size = dump["ref"].shape[-1]
    pattern = r"((avg|bic)(\d+)_T(\d+)_eta([\d.]+)_awd([01])_w([\d.e-]+))_out"
    for case, name, kind, scale, steps, eta, awd, weight in dump.cases(pattern):
        operator = OPERATORS[kind](size, int(scale))
        low = size // int(scale)
        y = dump[f"{name}_y"].reshape(-1, 3, low, low)
        clean = operator(dump["ref"]).reshape(dump[f"{name}_y"].shape)
        yield f"{name}_y", dump.difference(f"{name}_y", clean)
        settings = pigdm.Settings(int(steps), float(eta), float(weight), awd == "1")
        prior = Prior(convolution(dump), Schedule.linear().respaced(int(steps), "strided"))
        noise = dump.noise(name)
        x, x0_hat = pigdm.sample(prior, y, operator, settings, noise)
        yield case, dump.difference(case, x)
        yield f"{name}_x0", dump.difference(f"{name}_x0", x0_hat)
        yield f"{name}_draws", float(noise.remaining)
