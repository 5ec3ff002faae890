"""DDRM's dump: measurements, singular values and loops.

The reference draws its noise in the singular basis, three draws a step, and ours draws in pixels:
the recorded draws are carried over first.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from baselines import ddrm
from bench.core.errors import BenchError
from bench.diffusion.operators import average_pooling, bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.parity.basis import PatchBasis, RecordedBasis, SeparableBasis
from tests.recorded import Case, Draw, Dump, RecordedNoise, convolution

OPERATORS = {"avg": average_pooling, "bic": bicubic}


def check(dump: Dump) -> Iterator[Case]:
    """Compare DDRM's loop, with and without measurement noise."""
    ref = dump["ref"]
    size = ref.shape[-1]
    for case, name, kind, factor, sigma in dump.cases(r"((avg|bic)(\d+)_s([\d.e-]+))_out"):
        scale = int(factor)
        operator = OPERATORS[kind](size, scale)
        measurement, *draws = dump.draws(name)
        measured = operator(ref).flatten(1) + float(sigma) * torch.from_numpy(measurement[1])
        yield f"{name}_y", dump.difference(f"{name}_y", measured)
        singular = dump[f"{name}_sing"]
        ours = operator.svd().singular.flatten().sort(descending=True).values
        ours = ours.repeat_interleave(3)
        yield f"{name}_sing", float((ours - singular.sort(descending=True).values).abs().max())
        y = dump[f"{name}_y"].reshape(-1, 3, size // scale, size // scale)
        if f"{name}_Apy" in dump:
            inverse = operator.pseudo_inverse(y).reshape(dump[f"{name}_Apy"].shape)
            yield f"{name}_Apy", dump.difference(f"{name}_Apy", inverse)

        # x_T, then three draws a step; those of the last step are multiplied by zero.
        steps = (len(draws) - 1) // 3
        basis: RecordedBasis
        if kind == "avg":
            basis = PatchBasis(size, scale)
        else:
            basis = SeparableBasis.recorded(size, scale, singular)
        noise = RecordedNoise(pixel_draws(draws[:-3], basis, singular))
        prior = Prior(convolution(dump), Schedule.linear().respaced(steps, "strided"))
        out = ddrm.sample(prior, y, operator, ddrm.Settings(sigma_y=float(sigma)), noise)
        yield case, dump.difference(case, out)
        yield f"{name}_x0", dump.difference(f"{name}_x0", out)
        yield f"{name}_draws", float(noise.remaining)


def pixel_draws(draws: list[Draw], basis: RecordedBasis, singular: Tensor) -> list[Draw]:
    """Yield the recorded draws of x_T and of each step as one image [B, 3, H, H] per step.

    A step has a draw of all coefficients, one of those measured coefficients only that are cleaner
    than the measurement, and one of all measured coefficients; each coefficient uses one of them.
    """
    (name, start), *rest = draws
    images = [basis.image(torch.from_numpy(start).flatten(1))]
    for everything, cleaner, measured in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        spectrum = torch.from_numpy(everything[1]).clone()
        spectrum[:, : len(singular)] = torch.from_numpy(measured[1])
        spectrum[:, _smallest(singular, cleaner[1].shape[1])] = torch.from_numpy(cleaner[1])
        images.append(basis.image(spectrum))
    return [(name, image.numpy()) for image in images]


def _smallest(singular: Tensor, count: int) -> Tensor:
    """Return the positions of the `count` smallest singular values, ascending.

    Raises:
        BenchError: there are equal values on both sides, so that it was no threshold.
    """
    if count == 0:
        return torch.empty(0, dtype=torch.long)
    positions = torch.nonzero(singular <= singular.sort().values[count - 1]).flatten()
    if len(positions) != count:
        raise BenchError(f"The {count} smallest singular values can't be told from the next.")
    return positions
