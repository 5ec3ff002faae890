"""SR3 (Saharia et al. 2021): the U-Net, conditioned on image and noise level, and its sampler.

Details from the unofficial code by which SR3 is known (Apache-2.0), whose parameter names these
are, so that its public checkpoints load as they are. Unlike the ADM U-Net it takes the noise level
itself, sqrt(alpha_bar), not a timestep, and gets the condition as further channels.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.diffusion.doubling import doubled
from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, ancestral_step, posterior_mean, x0_from_eps
from bench.diffusion.schedule import Schedule


@dataclass(frozen=True)
class SR3Config:
    """Shape of SR3's U-Net.

    `attention_factors` are downsampling factors (2 = half resolution). `norm_groups` are those of
    every group norm, and leave no trace in the weights.
    """

    channels: int
    channel_mult: tuple[int, ...]
    res_blocks: int
    attention_factors: tuple[int, ...]
    norm_groups: int = 32

    @property
    def size_multiple(self) -> int:
        """Height and width of an input must be divisible by this."""
        return int(2 ** (len(self.channel_mult) - 1))


def sr3_schedule(steps: int = 2000) -> Schedule:
    """Return the released schedule: 2000 linear steps, betas from 1e-6 to 1e-2."""
    return Schedule.linear(steps, 1e-6, 1e-2)


class NoiseLevelEmbedding(nn.Module):
    """Sinusoidal embedding [B, width] of noise levels [B]: sines, then cosines."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, level: Tensor) -> Tensor:
        half = self.width // 2
        position = torch.arange(half, dtype=level.dtype, device=level.device) / half
        angles = level[:, None] * torch.exp(-math.log(10_000) * position)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class NormedConvolution(nn.Module):
    """Group norm, Swish and a 3 x 3 convolution."""

    def __init__(self, channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Identity(),  # the released code's dropout, which counts in the next layer's name
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class NoiseShift(nn.Module):
    """Adds a projection of the noise level's embedding to every position."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(width, channels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x + self.noise_func(embedding)[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two normed convolutions with the noise level added between them."""

    def __init__(self, channels: int, out_channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.noise_func = NoiseShift(width, out_channels)
        self.block1 = NormedConvolution(channels, out_channels, groups)
        self.block2 = NormedConvolution(out_channels, out_channels, groups)
        self.res_conv: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.block2(self.noise_func(self.block1(x), embedding)) + self.res_conv(x)


class Attention(nn.Module):
    """Self-attention over positions with a single head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # [B, 3C, positions]; attention wants positions before features.
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.out(attended.reshape(x.shape))


class Stage(nn.Module):
    """A residual block, optionally followed by attention."""

    def __init__(
        self, channels: int, out_channels: int, width: int, groups: int, attends: bool
    ) -> None:
        super().__init__()
        self.res_block = ResidualBlock(channels, out_channels, width, groups)
        self.attn: nn.Module = Attention(out_channels, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attn(self.res_block(x, embedding))


class Resample(nn.Module):
    """Downsampling by a strided convolution, or nearest-neighbour upsampling and a convolution."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return doubled(x, self.conv) if self.up else self.conv(x)


class SR3UNet(nn.Module):
    """U-Net from noisy image [B, 3, H, W], noise level sqrt(alpha_bar) [B] and condition to eps.

    H and W must be divisible by `config.size_multiple`.
    """

    def __init__(self, config: SR3Config) -> None:
        super().__init__()
        self.config = config
        width, groups = config.channels, config.norm_groups
        self.noise_level_mlp = nn.Sequential(
            NoiseLevelEmbedding(width),
            nn.Linear(width, 4 * width),
            nn.SiLU(),
            nn.Linear(4 * width, width),
        )

        def stage(channels: int, out_channels: int, attends: bool) -> Stage:
            return Stage(channels, out_channels, width, groups, attends)

        levels = [
            (mult * width, 2**level in config.attention_factors)
            for level, mult in enumerate(config.channel_mult)
        ]
        down: list[nn.Module] = [nn.Conv2d(6, width, 3, padding=1)]
        channels = width
        skips = [channels]
        for level, (out_channels, attends) in enumerate(levels):
            for _ in range(config.res_blocks):
                down.append(stage(channels, out_channels, attends))
                channels = out_channels
                skips.append(channels)
            if level < len(levels) - 1:
                down.append(Resample(channels, up=False))
                skips.append(channels)
        self.downs = nn.ModuleList(down)

        self.mid = nn.ModuleList(
            [stage(channels, channels, True), stage(channels, channels, False)]
        )

        up: list[nn.Module] = []
        for level, (out_channels, attends) in reversed(list(enumerate(levels))):
            for _ in range(config.res_blocks + 1):
                up.append(stage(channels + skips.pop(), out_channels, attends))
                channels = out_channels
            if level > 0:
                up.append(Resample(channels, up=True))
        self.ups = nn.ModuleList(up)
        self.final_conv = NormedConvolution(channels, 3, groups)

    def forward(self, x: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        embedding = self.noise_level_mlp(level)
        stem, *down = self.downs
        h = stem(torch.cat([condition, x], dim=1))
        skips = [h]
        for layer in down:
            h = layer(h, embedding)
            skips.append(h)
        for layer in self.mid:
            h = layer(h, embedding)
        for layer in self.ups:
            is_stage = isinstance(layer, Stage)
            h = layer(torch.cat([h, skips.pop()], dim=1) if is_stage else h, embedding)
        return self.final_conv(h)


def infer_sr3_config(state: Mapping[str, Tensor], norm_groups: int) -> SR3Config:
    """Infer the U-Net's shape from its state dict, except the number of groups.

    Raises:
        BenchError: the names are not those of SR3's U-Net.
    """
    stem = state.get("downs.0.weight")
    if (
        stem is None
        or "final_conv.block.3.weight" not in state
        or "mid.0.attn.qkv.weight" not in state
    ):
        raise BenchError(
            "These weights are not SR3's U-Net: downs, mid and final_conv are missing. "
            "Give a checkpoint in the layout of the code that is known as SR3's."
        )
    channels = int(stem.shape[0])
    widths: list[list[int]] = [[]]
    attention: set[int] = set()
    last = max(int(m[1]) for name in state if (m := re.match(r"downs\.(\d+)\.", name)))
    for i in range(1, last + 1):
        if f"downs.{i}.conv.weight" in state:  # it halves: the next level begins
            widths.append([])
            continue
        weight = state.get(f"downs.{i}.res_block.block2.block.3.weight")
        if weight is None:
            raise BenchError(f"downs.{i} is neither a residual block nor a reduction by two.")
        if f"downs.{i}.attn.qkv.weight" in state:
            attention.add(2 ** (len(widths) - 1))
        widths[-1].append(int(weight.shape[0]))
    return SR3Config(
        channels=channels,
        channel_mult=tuple(level[0] // channels for level in widths),
        res_blocks=len(widths[0]),
        attention_factors=tuple(sorted(attention)),
        norm_groups=norm_groups,
    )


def sample_sr3(
    network: ConditionalNetwork, schedule: Schedule, condition: Tensor, noise: Noise
) -> Tensor:
    """Run Algorithm 2 with the released variance: condition to result, both [B, 3, H, W].

    The paper's variance is beta, the code's the smaller one of the posterior; x0_hat is
    clipped. The last step is x0_hat, and draws nothing.
    """
    x = noise.normal_like(condition)
    for index in reversed(range(len(schedule))):
        level = torch.full((len(x),), math.sqrt(schedule.alpha_bar[index]), device=x.device)
        eps = network(x, level, condition)
        x0 = x0_from_eps(schedule, x, eps, index).clamp(-1, 1)
        if index == 0:
            return x0
        log_variance = torch.full_like(x, float(schedule.posterior_log_variance[index]))
        mean = posterior_mean(schedule, x0, x, index)
        x = ancestral_step(mean, log_variance, noise.normal_like(x), index)
    return x
