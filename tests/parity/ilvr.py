"""ILVR's dump: filters and loops."""

from collections.abc import Iterator

from baselines import ilvr
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from tests.recorded import Case, Dump, adm, respacing_difference


def check(dump: Dump) -> Iterator[Case]:
    """Compare the low-pass filters and ILVR's loop."""
    size = dump["ref"].shape[-1]
    for case, down in dump.cases(r"down(\d+)"):
        yield case, dump.difference(case, bicubic(size, int(down))(dump["ref"]))
    for case, down in dump.cases(r"phi(\d+)"):
        yield case, dump.difference(case, ilvr.low_pass(dump["ref"], int(down)))
    for case, name, down, _, range_t in dump.cases(r"(N(\d+)_T(\d+)_r(\d+))_out"):
        prior = Prior(adm(dump), dump.schedule(name))
        noise = dump.noise(name)
        out = ilvr.sample(prior, dump["ref"], int(down), int(range_t), noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", respacing_difference(prior.schedule)
        yield f"{name}_draws", float(noise.remaining)
