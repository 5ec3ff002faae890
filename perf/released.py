"""The released sampling loops, restated: the competitor in `perf.sampling`.

DDNM, DPS and DPI as their repositories run them, on guided-diffusion's network: every step looks up
each coefficient in a float64 table and moves it to the device, attention materialises its weights,
and upsampled images are convolved at full size. With the same noise the results equal ours, which
`tests/project/test_perf_released.py` checks.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from bench.diffusion.corrector import Corrector
from bench.diffusion.noise import Noise
from bench.diffusion.operators import SeparableOperator
from bench.diffusion.prior import Network
from bench.diffusion.schedule import Schedule, gather, q_posterior_mean, q_sample
from bench.diffusion.unet import AttentionBlock, ResBlock
from bench.dpi.masks import fixed_mask, released_edge_probability
from bench.dpi.sampler import DPISettings


class FreshNoise:
    """Noise from the global stream, as in released code."""

    def normal_like(self, x: Tensor) -> Tensor:
        return torch.randn_like(x)

    def bernoulli(self, probability: Tensor) -> Tensor:
        return torch.bernoulli(probability)


class ReleasedResBlock(ResBlock):
    """guided-diffusion's arithmetic on our block's parameters."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        norm, activation, conv = self.in_layers
        h = conv(self._resize(activation(norm(x))))
        x = self._resize(x)
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.out_layers[0](h) * (1 + scale) + shift
        return self.skip_connection(x) + self.out_layers[1:](h)


class ReleasedAttentionBlock(AttentionBlock):
    """guided-diffusion's arithmetic on our block's parameters."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        flat = x.flatten(2)
        qkv = self.qkv(self.norm(flat)).reshape(len(x) * self.heads, -1, flat.shape[2])
        q, k, v = qkv.chunk(3, dim=1)
        scale = 1 / math.sqrt(math.sqrt(q.shape[1]))
        weight = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
        h = torch.einsum("bts,bcs->bct", weight, v).reshape(flat.shape)
        return (flat + self.proj_out(h)).reshape(x.shape)


def as_released(network: nn.Module) -> None:
    """Make the blocks of our network compute as guided-diffusion's do."""
    for module in network.modules():
        if isinstance(module, ResBlock):
            module.__class__ = ReleasedResBlock
        elif isinstance(module, AttentionBlock):
            module.__class__ = ReleasedAttentionBlock


def ddnm(
    network: Network,
    schedule: Schedule,
    y: Tensor,
    operator: SeparableOperator,
    noise: Noise,
    eta: float = 0.85,
) -> Tensor:
    """Restore measurements [B, 3, h, h] to images [B, 3, H, H] by the code's main path."""
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(schedule))):
        t = torch.full((len(x),), index, device=x.device)
        alpha_bar = gather(schedule.alpha_bar, t)
        following = gather(schedule.alpha_bar_prev, t)
        eps = network(x, timesteps(schedule, t))[:, :3]
        x0 = (x - eps * (1 - alpha_bar).sqrt()) / alpha_bar.sqrt()
        x0_hat = x0 - operator.pseudo_inverse(operator(x0) - y)
        drawn, kept = (1 - following).sqrt() * eta, (1 - following).sqrt() * (1 - eta**2) ** 0.5
        x = following.sqrt() * x0_hat + drawn * noise.normal_like(x) + kept * eps
    return x


def dps(
    network: Network,
    schedule: Schedule,
    y: Tensor,
    operator: SeparableOperator,
    noise: Noise,
    scale: float = 0.3,
) -> Tensor:
    """Restore measurements [B, 3, h, h] to images [B, 3, H, H]."""
    x = noise.normal_like(operator.adjoint(y))
    for index in reversed(range(len(schedule))):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            mean, log_variance, x0, _ = moments(network, schedule, x, index)
            sample = mean + (index > 0) * (0.5 * log_variance).exp() * noise.normal_like(x)
            misfit = torch.linalg.norm((y - operator(x0)).flatten(1), dim=1).sum()
            (gradient,) = torch.autograd.grad(misfit, x)
        x = (sample - scale * gradient).detach()
    return x


def dpi(
    network: Network,
    schedule: Schedule,
    base: Tensor,
    corrector: Corrector,
    settings: DPISettings,
    noise: Noise,
) -> Tensor:
    """Restore base conditions [B, 3, H / 2, W / 2] to images [B, 3, H, W]."""
    mask = fixed_mask(2 * base.shape[-1], 2).to(base)
    y = torch.full((*base.shape[:2], *mask.shape[-2:]), 1e-6).to(base)
    y[..., ::2, ::2] = base
    y_T, x = y, noise.normal_like(y)
    for index in reversed(range(len(schedule))):
        t = torch.full((len(x),), index, device=x.device)
        mean, log_variance, _, eps = moments(network, schedule, x, index)
        fresh = noise.normal_like(x)
        x_prime = mean + (index > 0) * (0.5 * log_variance).exp() * fresh
        if index == 0:
            return x_prime
        y_noised = q_sample(schedule, y, t, eps)
        y_prime = q_posterior_mean(schedule, y, y_noised, t) + (0.5 * log_variance).exp() * fresh
        if index <= settings.tau:
            probability = released_edge_probability(y, 2, settings.s)
            adaptive = torch.zeros_like(y[:, :1])
            adaptive[..., ::2, ::2] = noise.bernoulli(probability)
            w = index / settings.omega
            x = (1 - adaptive) * x_prime + adaptive * (w * y_prime + (1 - w) * x_prime)
            y_prime = x
        else:
            x = (1 - mask) * x_prime + mask * y_prime
        y = corrector(y_prime * mask, t * (1000 // len(schedule)), y_T * mask) * mask + 1e-6
    return x


def moments(
    network: Network, schedule: Schedule, x: Tensor, index: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and log variance of x_{t-1}, the clipped x0_hat, and eps, each [B, 3, H, W]."""
    t = torch.full((len(x),), index, device=x.device)
    eps, between = network(x, timesteps(schedule, t)).chunk(2, dim=1)
    low = gather(schedule.posterior_log_variance, t)
    share = (between + 1) / 2
    log_variance = share * gather(np.log(schedule.betas), t) + (1 - share) * low
    x0 = gather(np.sqrt(1 / schedule.alpha_bar), t) * x
    x0 = (x0 - gather(np.sqrt(1 / schedule.alpha_bar - 1), t) * eps).clamp(-1, 1)
    return q_posterior_mean(schedule, x0, x, t), log_variance, x0, eps


def timesteps(schedule: Schedule, t: Tensor) -> Tensor:
    """Return the timesteps that condition the network at indices [B]."""
    return torch.from_numpy(schedule.timesteps).to(t.device)[t]
