"""DiffPIR's dump: iterative back projection and gradient steps.

The gradient form divides by rho, 1e-6 at the noisiest step, so its images reach 25 and show the
rounding of the released float32 tables (2e-3). It is therefore replayed on such tables, and
compared relative to the largest value.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from baselines import diffpir
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule, Table
from tests.recorded import Case, Dump, RecordedNoise, convolution

DATA = {"ibp": "ibp", "grad": "gradient"}


class RoundedSchedule(Schedule):
    """Return the training schedule with its cumulative product in float32, as released."""

    @cached_property
    def alpha_bar(self) -> Table:
        kept = (1 - self.betas.astype(np.float32)).astype(np.float32)
        return np.cumprod(kept, dtype=np.float32).astype(np.float64)


def check(dump: Dump) -> Iterator[Case]:
    """Compare the timesteps and the sample."""
    size = dump["ref"].shape[-1]
    pattern = (
        r"((ibp|grad)(\d+)_T(\d+)_(quad|uniform)_zeta([\d.]+)_eta([\d.]+)"
        r"_lam([\d.]+)_gamma([\d.]+))_out"
    )
    for case, name, data, scale, steps, spacing, zeta, eta, weight, gamma in dump.cases(pattern):
        settings = diffpir.Settings(
            int(steps),
            spacing,  # type: ignore[arg-type]
            DATA[data],  # type: ignore[arg-type]
            float(zeta),
            float(eta),
            float(weight),
            float(gamma),
        )
        timesteps = diffpir.descending_timesteps(int(steps), spacing)
        recorded = 999 - dump.arrays[f"{name}_seq"]
        yield f"{name}_seq", float(np.abs(timesteps - recorded).max())
        first, *rest = dump.draws(name)
        # Each step draws first a sample that the released code does not use; the last only that.
        used = [draw for i, draw in enumerate(rest[:-1]) if i % 3]
        noise = RecordedNoise([first, *used])
        x = diffpir.sample(
            Prior(convolution(dump), RoundedSchedule.linear()),
            dump[f"{name}_y"],
            dump[f"{name}_init"],
            bicubic(size, int(scale)),
            settings,
            noise,
        )
        yield case, dump.difference(case, x) / max(1.0, float(dump[case].abs().max()))
        yield f"{name}_draws", float(noise.remaining)
