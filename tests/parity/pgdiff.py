"""PGDiff's dump: guided loops, with the recorded restorer as the target."""

from collections.abc import Iterator

import torch
from torch import Tensor

from baselines import pgdiff
from bench.diffusion.prior import Prior
from tests.recorded import Case, Dump, convolution, respacing_difference, same_convolution

REPEATED = range(8, 1000)  # strictly between s_end and s_start, the same indices in every case


def check(dump: Dump) -> Iterator[Case]:
    """Compare PGDiff's loop; unlike the method's, the recorded target depends on x_t."""
    restorer = dump.state("sd_rest")

    def target(x: Tensor) -> Tensor:
        both = torch.cat([x, dump["y"]], dim=1)
        return same_convolution(both, restorer["weight"], restorer["bias"]).clamp(-1, 1)

    for case, name, _, passes, guidance in dump.cases(r"(ddpm(\d+)_N(\d+)_s([\d.e-]+))_out"):
        noise = dump.noise(name)
        prior = Prior(convolution(dump), dump.schedule(name))
        x = noise.normal_like(dump["y"])
        out = pgdiff.sample(prior, x, target, float(guidance), int(passes), REPEATED, noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", respacing_difference(prior.schedule, "ddim")
        yield f"{name}_draws", float(noise.remaining)
