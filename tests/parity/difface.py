"""DifFace's dump: the reverse process from the noised estimate."""

from collections.abc import Iterator

from baselines import difface
from bench.diffusion.prior import Prior
from tests.recorded import Case, Dump, convolution, respacing_difference


def check(dump: Dump) -> Iterator[Case]:
    """Compare DifFace's loop; `im_hq` is the result of its estimator."""
    for case, name, start, eta in dump.cases(r"(st(\d+)_eta([\d.e-]+))_out"):
        noise = dump.noise(name)
        prior = Prior(convolution(dump), dump.schedule(name))
        out = difface.sample(prior, dump["im_hq"], int(start), float(eta), noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", respacing_difference(prior.schedule, "ddim")
        yield f"{name}_draws", float(noise.remaining)
