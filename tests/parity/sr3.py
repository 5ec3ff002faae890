"""SR3's dump: one conditional loop with its own U-Net."""

from collections.abc import Iterator

from bench.diffusion.sr3 import SR3UNet, infer_sr3_config, sample_sr3, sr3_schedule
from tests.recorded import Case, Dump, RecordedNoise

NORM_GROUPS = 16  # of the dumps; a state dict does not show them


def check(dump: Dump) -> Iterator[Case]:
    """Compare SR3's loop, with as many steps as draws: x_T and one per step but the last."""
    state = dump.state("sd")
    network = SR3UNet(infer_sr3_config(state, NORM_GROUPS))
    network.load_state_dict(state)
    for case, prefix in dump.cases(r"(|\w+_)out"):
        draws = dump.draws(prefix.removesuffix("_"))
        noise = RecordedNoise(draws)
        out = sample_sr3(network, sr3_schedule(len(draws)), dump["cond"], noise)
        yield case, dump.difference(case, out)
        yield f"{prefix}draws", float(noise.remaining)
