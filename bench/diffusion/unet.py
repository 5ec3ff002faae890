"""The ADM U-Net (Dhariwal and Nichol 2021), the network of every diffusion prior here.

Parameter names equal those of OpenAI's guided-diffusion, so that `ffhq_10m.pt` and every
checkpoint trained with that code load as they are. Only the variant those checkpoints use is
built: residual up- and downsampling, scale-shift norm, legacy order of the attention heads.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.diffusion.doubling import doubled


@dataclass(frozen=True)
class UNetConfig:
    """Shape of an ADM U-Net.

    `attention_factors` are downsampling factors (2 = half resolution), as guided-diffusion keeps
    them internally. `head_channels` is the width of one attention head. Normalisation is over 32
    groups, or fewer where a group would have less than `group_channels` channels: a group of one
    normalises away its channel's mean and scale, so a narrow network loses colour information.
    """

    channels: int
    channel_mult: tuple[int, ...]
    res_blocks: int
    attention_factors: tuple[int, ...]
    head_channels: int
    in_channels: int = 3
    out_channels: int = 6
    group_channels: int = 1

    @property
    def size_multiple(self) -> int:
        """Height and width of an input must be divisible by this."""
        return int(2 ** (len(self.channel_mult) - 1))


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding [B, width] of timesteps [B]: cosines, then sines."""
    half = width // 2
    frequencies = torch.exp(
        -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    )
    angles = t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _norm(channels: int, group_channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels // group_channels), channels)


Layer = TypeVar("Layer", nn.Conv1d, nn.Conv2d)


def _zeroed(layer: Layer) -> Layer:
    """Zero-initialise a last layer, so that every block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ResBlock(nn.Module):
    """Residual block with scale-shift conditioning on the timestep; may change resolution."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        emb_width: int,
        group_channels: int,
        resample: str = "",
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(
            _norm(channels, group_channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_width, 2 * out_channels))
        self.out_layers = nn.Sequential(
            _norm(out_channels, group_channels),
            nn.SiLU(),
            nn.Identity(),  # guided-diffusion's dropout, which counts in the next layer's name
            _zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def _resize(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return x

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        norm, activation, conv = self.in_layers
        h = activation(norm(x))
        h = doubled(h, cast("nn.Conv2d", conv)) if self.resample == "up" else conv(self._resize(h))
        x = self._resize(x)
        scale, shift = self.emb_layers(emb).to(h.dtype)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.out_layers[0](h), 1 + scale)
        return self.skip_connection(x) + self.out_layers[1:](h)


class AttentionBlock(nn.Module):
    """Self-attention over positions, heads outermost in the channels ("legacy" order)."""

    def __init__(self, channels: int, head_channels: int, group_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = _norm(channels, group_channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        flat = x.reshape(batch, channels, height * width)
        # [B, heads, 3 * head_channels, positions]; attention wants positions before features.
        qkv = self.qkv(self.norm(flat)).reshape(batch, self.heads, -1, height * width)
        q, k, v = qkv.transpose(2, 3).chunk(3, dim=3)
        h = F.scaled_dot_product_attention(q, k, v)
        h = h.transpose(2, 3).reshape(batch, channels, height * width)
        return (flat + self.proj_out(h)).reshape(batch, channels, height, width)


class Block(nn.Sequential):
    """Layers of one U-Net stage; residual and attention layers also get the timestep embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, emb)
        return x


class UNet(nn.Module):
    """ADM U-Net: noisy image [B, 3, H, W] and timestep [B] in, [B, out_channels, H, W] out.

    Timesteps are indices of the 1000-step schedule (no rescaling). H and W must be divisible by
    `config.size_multiple`.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        emb_width = 4 * width
        grouped = config.group_channels
        self.time_embed = nn.Sequential(
            nn.Linear(width, emb_width), nn.SiLU(), nn.Linear(emb_width, emb_width)
        )

        def stage(channels: int, out_channels: int, factor: int) -> Block:
            layers: list[nn.Module] = [ResBlock(channels, out_channels, emb_width, grouped)]
            if factor in config.attention_factors:
                layers.append(AttentionBlock(out_channels, config.head_channels, grouped))
            return Block(*layers)

        levels = len(config.channel_mult)
        channels = config.channel_mult[0] * width
        blocks = [Block(nn.Conv2d(config.in_channels, channels, 3, padding=1))]
        skips = [channels]
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.res_blocks):
                blocks.append(stage(channels, mult * width, 2**level))
                channels = mult * width
                skips.append(channels)
            if level < levels - 1:
                blocks.append(Block(ResBlock(channels, channels, emb_width, grouped, "down")))
                skips.append(channels)
        self.input_blocks = nn.ModuleList(blocks)

        self.middle_block = Block(
            ResBlock(channels, channels, emb_width, grouped),
            AttentionBlock(channels, config.head_channels, grouped),
            ResBlock(channels, channels, emb_width, grouped),
        )

        blocks = []
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for index in range(config.res_blocks + 1):
                block = stage(channels + skips.pop(), mult * width, 2**level)
                channels = mult * width
                if level > 0 and index == config.res_blocks:
                    block.append(ResBlock(channels, channels, emb_width, grouped, "up"))
                blocks.append(block)
        self.output_blocks = nn.ModuleList(blocks)

        self.out = nn.Sequential(
            _norm(channels, grouped),
            nn.SiLU(),
            _zeroed(nn.Conv2d(channels, config.out_channels, 3, padding=1)),
        )

    def stem(self, x: Tensor) -> Tensor:
        """Apply the first convolution: image [B, 3, H, W] to features [B, C, H, W]."""
        return self.input_blocks[0][0](x)  # type: ignore[index]

    def body(self, h: Tensor, t: Tensor) -> Tensor:
        """Apply everything after the stem: features [B, C, H, W] to the output [B, out, H, W]."""
        emb = self.time_embed(timestep_embedding(t, self.config.channels))
        skips = [h]
        for block in self.input_blocks[1:]:
            h = block(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(self.stem(x), t)


def infer_config(state: Mapping[str, Tensor], head_channels: int) -> UNetConfig:
    """Infer a U-Net's shape from its state dict.

    The number of attention heads leaves no trace in the shapes, so `head_channels` is given; nor
    do groups of normalisation, which are taken to be 32, as guided-diffusion has them.

    Raises:
        BenchError: the names are not those of an ADM U-Net of the variant built here.
    """
    stem = state.get("input_blocks.0.0.weight")
    last = state.get("out.2.weight")
    if stem is None or last is None or "middle_block.1.qkv.weight" not in state:
        raise BenchError(
            "These weights are not an ADM U-Net: input_blocks, middle_block and out are missing. "
            "Give a checkpoint in guided-diffusion's layout."
        )
    blocks = 1 + max(int(m[1]) for key in state if (m := re.match(r"input_blocks\.(\d+)\.", key)))
    res_blocks = _res_blocks_per_level(blocks, state)
    widths: list[int] = []
    attention: list[int] = []
    for i in range(1, blocks):
        out = state.get(f"input_blocks.{i}.0.out_layers.3.weight")
        emb = state.get(f"input_blocks.{i}.0.emb_layers.1.weight")
        if out is None or emb is None or emb.shape[0] != 2 * out.shape[0]:
            raise BenchError(
                f"input_blocks.{i} is not a residual block with scale-shift norm and residual "
                "up/down blocks; only that variant of the ADM U-Net is supported."
            )
        level, position = divmod(i - 1, res_blocks + 1)
        if position == 0:  # the first block of a level; the last one downsamples
            widths.append(int(out.shape[0]))
            if f"input_blocks.{i}.1.qkv.weight" in state:
                attention.append(2**level)
    channels = int(state["time_embed.0.weight"].shape[1])
    return UNetConfig(
        channels=channels,
        channel_mult=tuple(width // channels for width in widths),
        res_blocks=res_blocks,
        attention_factors=tuple(attention),
        head_channels=head_channels,
        in_channels=int(stem.shape[1]),
        out_channels=int(last.shape[0]),
    )


def _res_blocks_per_level(input_blocks: int, state: Mapping[str, Tensor]) -> int:
    """Return the number of residual blocks per level.

    An output level has one block more than that, and the last of them ends with an upsampling
    residual block: at index 1 or, behind attention, at index 2.
    """
    for i in range(input_blocks):
        for layer in (1, 2):
            if f"output_blocks.{i}.{layer}.in_layers.2.weight" in state:
                return i
    return input_blocks - 1  # a single level, which is never upsampled
