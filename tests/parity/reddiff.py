"""RED-diff's dump: loops with several weightings of the regulariser."""

from collections.abc import Iterator

from baselines import reddiff
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.parity.ddnm import OPERATORS
from tests.recorded import Case, Dump, RecordedNoise, convolution


def check(dump: Dump) -> Iterator[Case]:
    """Compare the optimised images."""
    size = dump["ref"].shape[-1]
    pattern = r"((avg|bic)(\d+)_T(\d+)_lr([\d.e-]+)_w([\d.e-]+)_(\w+))_out"
    for case, name, kind, scale, steps, rate, weight, weighting in dump.cases(pattern):
        operator = OPERATORS[kind](size, int(scale))
        low = size // int(scale)
        y = dump[f"{name}_y"].reshape(-1, 3, low, low)
        settings = reddiff.Settings(int(steps), float(rate), float(weight), weighting)  # type: ignore[arg-type]
        prior = Prior(convolution(dump), Schedule.linear().respaced(int(steps), "strided"))
        # The first draw of each step belongs to sigma_x0, which is 0.
        noise = RecordedNoise(dump.draws(name)[1::2])
        # The released means run over the batch, so its epsilon is that many times ours.
        mu = reddiff.optimise(prior, y, operator, settings, noise, epsilon=1e-8 * len(y))
        yield case, dump.difference(case, mu)
        yield f"{name}_draws", float(noise.remaining)
