"""One side of a sampling comparison: `python -m perf.sampling SIDE METHOD`.

SIDE is ours, plain or batched; METHOD is ddnm, dpi or dps, for ours also with the suffix
"-bfloat16". All run the same networks (random weights), steps and number of images. The
architecture is the embedded networks' at 64 px; on a GPU it is that of `ffhq_10m.pt` and of the
released Corrector, at 256 px.

ours: as `bench run`; on a GPU with --compile and --precision bfloat16, on a CPU in float32, or with
--precision bfloat16 given the suffix.
plain: the released loops (`perf.released`): one image at a time, float32, default memory allocator.
batched: the same loops on the whole batch, under autocast to bfloat16.
"""

import sys
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from baselines import ddnm, dps
from bench.core.config import Precision
from bench.core.memory import keep_freed_memory
from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet, UNetConfig
from bench.dpi.sampler import DPISettings, sample
from bench.engine.models import CountedNetwork, choose_device
from bench.training.architectures import CORRECTOR_64, CORRECTOR_256, PRIOR_64, PRIOR_256
from perf import released
from perf.measuring import timed

STEPS, SCALE = 5, 8
DPI = DPISettings(tau=300, s=1.2, omega=750, steps=STEPS)
DPI_RELEASED = DPISettings(tau=1, s=1.2, omega=4, steps=STEPS, form="released")  # in indices


@dataclass(frozen=True)
class Setting:
    """The networks, the image size in pixels and the number of images."""

    prior: UNetConfig
    corrector: UNetConfig
    size: int
    images: int


DEVICE = choose_device()
GPU = DEVICE.type == "cuda"
PRECISION: Precision = "bfloat16" if GPU else "float32"
SETTING = (
    Setting(PRIOR_256, CORRECTOR_256, 256, 32) if GPU else Setting(PRIOR_64, CORRECTOR_64, 64, 8)
)


def images(count: int, reduced: int) -> Tensor:
    """Return images [count, 3, h, h] of a size divided by `reduced`."""
    size = SETTING.size // reduced
    return torch.zeros(count, 3, size, size, device=DEVICE)


def ours(method: str, unet: CountedNetwork, corrector: CountedNetwork) -> None:
    """Run our sampler on the whole batch."""
    count, operator = SETTING.images, bicubic(SETTING.size, SCALE)
    noise = KeyedNoise([StreamKey(0, str(i)) for i in range(count)])
    prior = Prior(unet, Schedule.linear())
    match method:
        case "ddnm":
            prior = prior.respaced(STEPS, "strided")
            ddnm.sample(prior, images(count, SCALE), operator, ddnm.Settings(), noise)
        case "dps":
            dps.sample(prior.respaced(STEPS), images(count, SCALE), operator, dps.Settings(), noise)
        case _:
            sample(prior, corrector, images(count, 2), DPI, noise)


def theirs(method: str, unet: UNet, corrector: Corrector, batch: int) -> None:
    """Run the released loop, `batch` images at a time."""
    operator, schedule = bicubic(SETTING.size, SCALE), Schedule.linear()
    for _ in range(SETTING.images // batch):
        y = images(batch, SCALE)
        match method:
            case "ddnm":
                steps = schedule.respaced(STEPS, "strided")
                released.ddnm(unet, steps, y, operator, released.FreshNoise())
            case "dps":
                released.dps(unet, schedule.respaced(STEPS), y, operator, released.FreshNoise())
            case _:
                steps, base = schedule.respaced(STEPS), images(batch, 2)
                released.dpi(unet, steps, base, corrector, DPI_RELEASED, released.FreshNoise())


def counted(network: nn.Module, precision: Precision) -> CountedNetwork:
    """Return the network as the engine loads it."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = CountedNetwork(network, DEVICE, precision)
    if GPU:
        found.compile()
    return found


def main(side: str, work: str) -> None:
    """Print the seconds of one side."""
    method, _, reduced = work.partition("-")
    unet = UNet(SETTING.prior).to(DEVICE).requires_grad_(False).eval()
    corrector = Corrector(SETTING.corrector).to(DEVICE).requires_grad_(False).eval()
    if side == "ours":
        keep_freed_memory()
        precision: Precision = "bfloat16" if reduced else PRECISION
        run = partial(ours, method, counted(unet, precision), counted(corrector, precision))
    else:
        released.as_released(unet)
        released.as_released(corrector)
        batch = SETTING.images if side == "batched" else 1
        run = partial(theirs, method, unet, corrector, batch)
    autocast = torch.autocast(DEVICE.type, torch.bfloat16, enabled=side == "batched")
    with torch.no_grad(), autocast:
        print(timed(run))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
