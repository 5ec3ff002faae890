"""Architectures by image size."""

from bench.diffusion.sr3 import SR3Config
from bench.diffusion.unet import UNetConfig

# Attention only at 8 px: at 16 px it costs a sixth of the training speed on a CPU.
PRIOR_64 = UNetConfig(
    channels=32,
    channel_mult=(1, 2, 4, 4),
    res_blocks=1,
    attention_factors=(8,),
    head_channels=32,
    group_channels=4,
)
PRIOR_128 = UNetConfig(
    channels=64,
    channel_mult=(1, 1, 2, 3, 4),
    res_blocks=1,
    attention_factors=(8, 16),
    head_channels=64,
    group_channels=4,
)
# ffhq_10m.pt's.
PRIOR_256 = UNetConfig(
    channels=128,
    channel_mult=(1, 1, 2, 2, 4, 4),
    res_blocks=1,
    attention_factors=(16,),
    head_channels=64,
)
CORRECTOR_64 = UNetConfig(
    channels=32,
    channel_mult=(1, 1, 2, 2),
    res_blocks=1,
    attention_factors=(),  # in the middle block alone, at 8 px: 3 MB on disk
    head_channels=16,
    out_channels=3,
)
# As released: 5,867,427 parameters mean attention at 8 px (factor 32 of 256 px),
# not at factor 8, which would have 5,718,819.
CORRECTOR_256 = UNetConfig(
    channels=32,
    channel_mult=(1, 1, 2, 2, 4, 4),
    res_blocks=1,
    attention_factors=(32,),
    head_channels=16,
    out_channels=3,
)
# Groups of at least four channels; see `group_channels` of the other networks.
SR3_64 = SR3Config(
    channels=32, channel_mult=(1, 2, 4, 4), res_blocks=1, attention_factors=(), norm_groups=8
)


def prior_architecture(size: int) -> UNetConfig:
    """Return the prior's architecture for images of this size in pixels."""
    if size <= 64:
        return PRIOR_64
    return PRIOR_128 if size <= 128 else PRIOR_256


def corrector_architecture(size: int) -> UNetConfig:
    """Return the Corrector's architecture for images of this size in pixels."""
    return CORRECTOR_64 if size <= 64 else CORRECTOR_256


def sr3_architecture(size: int) -> SR3Config:
    """Return SR3's network for images of this size in pixels.

    Above 64 px it is the released one for 128, with attention at 16 px whatever the size.
    """
    if size <= 64:
        return SR3_64
    return SR3Config(
        channels=64, channel_mult=(1, 2, 4, 8, 8), res_blocks=2, attention_factors=(size // 16,)
    )
