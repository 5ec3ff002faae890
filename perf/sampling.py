"""One side of a sampling comparison: `python -m perf.sampling ours|plain ddnm|dpi`.

Both sides run the same network (embedded shape, random weights) in float32 for the same steps on
the same number of images. "plain" restates how the released code runs: one image at a time,
default memory allocator, coefficients looked up in tensors.
"""

import sys

import torch
from torch import Tensor

from baselines import ddnm
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.dpi.corrector import Corrector
from bench.dpi.sampler import DPISettings, sample
from bench.memory import keep_freed_memory
from bench.training.architectures import CORRECTOR_64, PRIOR_64
from perf.__main__ import timed

IMAGES, STEPS, SIZE, SCALE = 8, 5, 64, 8


def ours(method: str, unet: UNet, corrector: Corrector) -> None:
    """Our samplers on the whole batch."""
    y = torch.zeros(IMAGES, 3, SIZE // SCALE, SIZE // SCALE)
    noise = KeyedNoise([StreamKey(0, str(i)) for i in range(IMAGES)])
    prior = Prior(unet, Schedule.linear())
    if method == "ddnm":
        operator = bicubic(SIZE, SCALE)
        ddnm.sample(prior.respaced(STEPS, "strided"), y, operator, ddnm.Settings(), noise)
    else:
        settings = DPISettings(tau=300, s=1.2, omega=750, steps=STEPS)
        sample(prior, corrector, torch.zeros(IMAGES, 3, SIZE // 2, SIZE // 2), settings, noise)


def plain(method: str, unet: UNet, corrector: Corrector) -> None:
    """The networks' calls of the released loops, one image after the other."""
    betas = torch.linspace(1e-4, 0.02, 1000)
    alpha_bar = (1 - betas).cumprod(0)
    for _ in range(IMAGES):
        x = torch.randn(1, 3, SIZE, SIZE)
        for index in reversed(range(0, 1000, 1000 // STEPS)):
            x = _plain_step(x, index, alpha_bar, unet, corrector if method == "dpi" else None)


def _plain_step(
    x: Tensor, index: int, alpha_bar: Tensor, unet: UNet, corrector: Corrector | None
) -> Tensor:
    t = torch.tensor([index])
    a = alpha_bar.index_select(0, t).view(-1, 1, 1, 1)
    eps = unet(x, t)[:, :3]
    x0 = ((x - eps * (1 - a).sqrt()) / a.sqrt()).clamp(-1, 1)
    if corrector is not None:
        x0 = corrector(x0, t, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * torch.randn_like(x)


def main(side: str, method: str) -> None:
    """Print the seconds of one side."""
    unet = UNet(PRIOR_64).requires_grad_(False).eval()
    corrector = Corrector(CORRECTOR_64).requires_grad_(False).eval()
    if side == "ours":
        keep_freed_memory()
        for network in (unet, corrector):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = ours if side == "ours" else plain
    with torch.no_grad():
        print(timed(lambda: run(method, unet, corrector)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
