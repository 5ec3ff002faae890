"""DR2's dump: the degradation remover."""

from collections.abc import Iterator

from baselines import dr2
from bench.diffusion.prior import Prior
from tests.recorded import Case, Dump, RecordedNoise, adm, respacing_difference


def check(dump: Dump) -> Iterator[Case]:
    """Compare DR2's loop, up to x0_hat, the input of the enhancer."""
    for case, name, down, tau, start in dump.cases(r"(N(\d+)_tau(\d+)_om(\d+))_out"):
        # The reference also draws for the step below tau, and discards the sample.
        noise = RecordedNoise(dump.draws(name)[:-1])
        prior = Prior(adm(dump), dump.schedule(name))
        out = dr2.sample(prior, dump["ref"], int(down), int(tau), int(start), noise)
        yield case, dump.difference(case, out)
        yield f"{name}_tmap", respacing_difference(prior.schedule)
        yield f"{name}_draws", float(noise.remaining)
