"""One side of a sampling comparison: `python -m perf.sampling ours|plain|batched ddnm|dpi|dps`.

All sides run the same networks (random weights) for the same steps on the same number of images:
the embedded ones' shape at 64 px in float32, or, where there is a GPU, that of `ffhq_10m.pt` and of
the released Corrector at 256 px. There ours are compiled and compute in bfloat16, as `bench run
--compile --precision bfloat16` does. "plain" restates how the released code runs: one image at a
time, float32, default memory allocator, coefficients looked up in tensors; operators and masks are
left out but for what the gradient of DPS passes through. "batched" is the same loop on the whole
batch in bfloat16.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines import ddnm, dps
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import bicubic
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet, UNetConfig
from bench.dpi.corrector import Corrector
from bench.dpi.sampler import DPISettings, sample
from bench.engine.models import CountedNetwork, choose_device
from bench.memory import keep_freed_memory
from bench.training.architectures import CORRECTOR_64, CORRECTOR_256, PRIOR_64, PRIOR_256
from perf.measuring import timed

STEPS, SCALE = 5, 8


@dataclass(frozen=True)
class Setting:
    """What is sampled."""

    prior: UNetConfig
    corrector: UNetConfig
    size: int
    images: int


DEVICE = choose_device()
GPU = DEVICE.type == "cuda"
SETTING = (
    Setting(PRIOR_256, CORRECTOR_256, 256, 32) if GPU else Setting(PRIOR_64, CORRECTOR_64, 64, 8)
)


def ours(method: str, unet: CountedNetwork, corrector: CountedNetwork) -> None:
    """Our samplers on the whole batch."""
    count, size = SETTING.images, SETTING.size
    y = torch.zeros(count, 3, size // SCALE, size // SCALE, device=DEVICE)
    noise = KeyedNoise([StreamKey(0, str(i)) for i in range(count)])
    prior = Prior(unet, Schedule.linear())
    if method == "ddnm":
        operator = bicubic(size, SCALE)
        ddnm.sample(prior.respaced(STEPS, "strided"), y, operator, ddnm.Settings(), noise)
    elif method == "dps":
        operator = bicubic(size, SCALE)
        dps.sample(prior.respaced(STEPS), y, operator, dps.Settings(), noise)
    else:
        settings = DPISettings(tau=300, s=1.2, omega=750, steps=STEPS)
        grid = torch.zeros(count, 3, size // 2, size // 2, device=DEVICE)
        sample(prior, corrector, grid, settings, noise)


def counted(network: nn.Module) -> CountedNetwork:
    """As the engine loads it."""
    found = CountedNetwork(network, DEVICE, "bfloat16" if GPU else "float32")
    if GPU:
        found.compile()
    return found


def plain(method: str, unet: UNet, corrector: Corrector, batch: int) -> None:
    """The networks' calls of the released loops."""
    betas = torch.linspace(1e-4, 0.02, 1000, device=DEVICE)
    alpha_bar = (1 - betas).cumprod(0)
    for _ in range(SETTING.images // batch):
        x = torch.randn(batch, 3, SETTING.size, SETTING.size, device=DEVICE)
        for index in reversed(range(0, 1000, 1000 // STEPS)):
            a = alpha_bar.index_select(0, torch.tensor([index], device=DEVICE)).view(-1, 1, 1, 1)
            t = torch.full((batch,), index, device=DEVICE)
            if method == "dps":
                x = _guided_step(x, t, a, unet)
            else:
                x = _step(x, t, a, unet, corrector if method == "dpi" else None)


def _step(x: Tensor, t: Tensor, a: Tensor, unet: UNet, corrector: Corrector | None) -> Tensor:
    x0 = _x0(x, t, a, unet)
    if corrector is not None:
        x0 = corrector(x0, t, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * torch.randn_like(x)


def _guided_step(x: Tensor, t: Tensor, a: Tensor, unet: UNet) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        x0 = _x0(x, t, a, unet)
        misfit = torch.linalg.norm(F.avg_pool2d(x0, SCALE))
        (gradient,) = torch.autograd.grad(misfit, x)
    return (a.sqrt() * x0 + (1 - a).sqrt() * torch.randn_like(x) - 0.3 * gradient).detach()


def _x0(x: Tensor, t: Tensor, a: Tensor, unet: UNet) -> Tensor:
    eps = unet(x, t)[:, :3]
    return ((x - eps * (1 - a).sqrt()) / a.sqrt()).clamp(-1, 1)


def main(side: str, method: str) -> None:
    """Print the seconds of one side."""
    unet = UNet(SETTING.prior).to(DEVICE).requires_grad_(False).eval()
    corrector = Corrector(SETTING.corrector).to(DEVICE).requires_grad_(False).eval()
    precision: AbstractContextManager[object] = nullcontext()
    if side == "ours":
        keep_freed_memory()
        for network in (unet, corrector):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    elif side == "batched":
        precision = torch.autocast(DEVICE.type, torch.bfloat16)
    batch = SETTING.images if side == "batched" else 1
    with torch.no_grad(), precision:
        if side == "ours":
            networks = counted(unet), counted(corrector)
            print(timed(lambda: ours(method, *networks)))
        else:
            print(timed(lambda: plain(method, unet, corrector, batch)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
