"""One side of a comparison with a library of samplers, on the same network.

`python -m perf.zero_shot ours|deepinv dps|ddrm|ddnm` or `ours|diffusers prior`

Both sides make the same number of NFE (embedded shape, random weights) in float32 on the
same batch. deepinv is used as in its examples, with its own operators. It has no DDNM; its DiffPIR
also makes one call and one projection per step. Its DDRM needs an operator with a known
decomposition, which bicubic downsampling lacks there, so it inpaints. diffusers has none of the
methods, only ancestral sampling of the prior.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.memory import keep_freed_memory
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior, sample
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.methods import Problem, configure, find_method
from bench.methods.interface import Models
from bench.networks.torchvision_guard import import_torchvision
from bench.training.architectures import PRIOR_64
from perf.measuring import timed

IMAGES, STEPS, SIZE, SCALE = 8, 5, 64, 8


def ours(method: str, unet: UNet) -> Callable[[], object]:
    """Return our sampler on a batch."""
    if method == "prior":
        prior = Prior(unet, Schedule.linear()).respaced(STEPS)
        x = torch.randn(IMAGES, 3, SIZE, SIZE)
        return lambda: sample(prior, x, KeyedNoise([StreamKey(0, str(i)) for i in range(IMAGES)]))
    problem = Problem(
        lr=torch.zeros(IMAGES, 3, SIZE // SCALE, SIZE // SCALE),
        scale=SCALE,
        noise=KeyedNoise([StreamKey(0, str(i)) for i in range(IMAGES)]),
        models=Models(Prior(unet, Schedule.linear())),
    )
    configured = configure(find_method(method), SCALE, SIZE, {method: {"steps": STEPS}})
    return lambda: configured.restore(problem)


def deepinv(method: str, unet: UNet) -> Callable[[], object]:
    """Return the sampler of deepinv on a batch."""
    import_torchvision()
    from deepinv import physics, sampling
    from deepinv.optim.data_fidelity import L2

    denoiser = denoiser_of(unet)
    shape = (3, SIZE, SIZE)
    if method == "ddrm":
        operator = physics.Inpainting(
            shape, mask=1 / SCALE**2, noise_model=physics.GaussianNoise(0.01)
        )
        sampler = sampling.DDRM(denoiser, sigmas=torch.linspace(1, 0, STEPS).numpy(), verbose=False)
    else:
        operator = physics.Downsampling(
            shape, filter="bicubic", factor=SCALE, noise_model=physics.GaussianNoise(0.01)
        )
        sampler = (
            # The solver calls the network once per interval, one less than there are times.
            sampling.DPS(denoiser, num_steps=STEPS + 1, dtype=torch.float32, minus_one_one=False)
            if method == "dps"
            else sampling.DiffPIR(denoiser, L2(), sigma=0.01, max_iter=STEPS)
        )
    y = operator(torch.zeros(IMAGES, *shape))
    return lambda: sampler(y, operator)


def diffusers(method: str, unet: UNet) -> Callable[[], object]:
    """Return the pipeline of diffusers on a batch."""
    import_torchvision()  # imported by diffusers if installed
    from diffusers import ConfigMixin, DDPMPipeline, DDPMScheduler, ModelMixin
    from diffusers.configuration_utils import register_to_config
    from diffusers.models.unets.unet_2d import UNet2DOutput

    class Wrapped(ModelMixin, ConfigMixin):  # type: ignore[misc]
        @register_to_config  # type: ignore[untyped-decorator]
        def __init__(self, sample_size: int = SIZE, in_channels: int = 3) -> None:
            super().__init__()
            self.network = unet

        def forward(self, x: Tensor, t: Tensor) -> Any:
            return UNet2DOutput(self.network(x, t.expand(len(x))))

    scheduler = DDPMScheduler(variance_type="learned_range")
    pipeline: Any = DDPMPipeline(Wrapped(), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return lambda: pipeline(IMAGES, num_inference_steps=STEPS, output_type="np")


def denoiser_of(unet: UNet) -> Any:
    """Wrap the network as a denoiser of deepinv, for images in [0, 1] with noise level sigma."""
    from deepinv.models import Denoiser

    alpha_bar = torch.from_numpy(Schedule.linear().alpha_bar).float()
    noise_levels = ((1 - alpha_bar) / alpha_bar).sqrt()

    class Denoising(Denoiser):  # type: ignore[misc]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor, sigma: Any, **others: Any) -> Tensor:
            level = 2 * torch.as_tensor(sigma, dtype=torch.float32).flatten()[0]
            t = (noise_levels - level).abs().argmin()
            clean = 2 * x.float() - 1
            eps = self.network(alpha_bar[t].sqrt() * clean, t.expand(len(x)))[:, :3]
            estimate: Tensor = (clean - noise_levels[t] * eps) / 2 + 0.5
            return estimate

    return Denoising(unet)


def main(side: str, method: str) -> None:
    """Print the seconds of one side."""
    unet = UNet(PRIOR_64).requires_grad_(False).eval()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    if side == "ours":
        keep_freed_memory()
        unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = {"ours": ours, "deepinv": deepinv, "diffusers": diffusers}[side](method, unet)
    with torch.no_grad():
        hook = unet.register_forward_hook(count)
        seconds = timed(run)
        hook.remove()
    if calls != 2 * STEPS:
        raise SystemExit(f"{side} called the network {calls} times in two runs, not {2 * STEPS}.")
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
