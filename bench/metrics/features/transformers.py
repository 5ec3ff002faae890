"""Vision transformers of set metrics: DINOv2 for FD-DINOv2, CLIP for CMMD.

FD-DINOv2: Stein et al., Exposing Flaws of Generative Model Evaluation Metrics (NeurIPS 2023).
CMMD: Jayasumana et al., Rethinking FID (CVPR 2024). Both papers' code resizes images by PIL's
antialiased bicubic filter, rounds them to 8 bits, and normalises each channel.
"""

import importlib
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.core.errors import BenchError
from bench.images import Pixels, resize_bicubic
from bench.metrics.base import package_version
from bench.metrics.checkpoints import checkpoint_path, checkpoint_sha256
from bench.metrics.features.extractor import Features, PackagedExtractor
from bench.networks.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from torch import Tensor

Network = Callable[["Tensor"], "Tensor"]
"""Maps normalised images [B, 3, side, side] to embeddings [B, D]."""

_PATCH = 14  # pixels, of both networks
_HEAD = 64  # channels per attention head, of all their sizes
_BATCH = 8  # images at a time on a CPU
_DEVICE_BATCH = 64  # and on a GPU, where more are not faster


@dataclass(frozen=True)
class Transformer(PackagedExtractor):
    """A vision transformer on square inputs.

    Attributes:
        side: height and width of its inputs in pixels, a multiple of 14.
        mean: mean of each RGB channel in [0, 1].
        std: standard deviation of each channel.
    """

    title: ClassVar[str]

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def identity(self) -> str:
        return (
            f"{self.title}, {self.package} {package_version(self.package)}, float32, resized to "
            f"{self.side} px by PIL's bicubic filter, weights {checkpoint_sha256(self.weights)}"
        )

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        import torch

        if reason := self.unavailable():
            raise BenchError(f"{self.title}: {reason}")
        network = self.network(checkpoint_path(self.weights), device)
        count = _BATCH if device == "cpu" else _DEVICE_BATCH
        found: list[Features] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), count):
                embedded = network(self.prepared(pictures[start : start + count]).to(device))
                found += [{"pooled": row} for row in embedded.float().cpu().numpy()]
        return found

    def prepared(self, pictures: Sequence[Pixels]) -> "Tensor":
        """Return images [H, W, 3] as normalised inputs [B, 3, side, side]."""
        import torch

        resized = np.stack([resize_bicubic(pixels, self.side) for pixels in pictures])
        unit = torch.from_numpy(resized).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (unit - mean) / std

    @abstractmethod
    def network(self, path: Path, device: str) -> Network:
        """Return the network on a device, loaded once."""


@dataclass(frozen=True)
class DinoV2(Transformer):
    """DINOv2's class token after the last norm (Oquab et al., 2023)."""

    label = "dinov2"
    title = "DINOv2 ViT-L/14"

    def network(self, path: Path, device: str) -> Network:
        return _dinov2(path, self.side, device)


@dataclass(frozen=True)
class Clip(Transformer):
    """CLIP's image embedding, of unit length (Radford et al., 2021)."""

    label = "clip"
    title = "CLIP ViT-L/14"

    def network(self, path: Path, device: str) -> Network:
        return _clip(path, device)


@cache
def _dinov2(path: Path, side: int, device: str) -> Network:
    from bench.networks.pickles import read_pickle

    import_torchvision()
    module: Any = importlib.import_module("timm.models.vision_transformer")
    state = read_pickle(path)
    try:
        width = state["cls_token"].shape[-1]
        network: Any = module.VisionTransformer(
            img_size=side,
            patch_size=_PATCH,
            embed_dim=width,
            depth=sum(name.endswith(".norm1.weight") for name in state),
            num_heads=width // _HEAD,
            init_values=1.0,
            num_classes=0,
        )
        network.load_state_dict(dinov2_state(state, side // _PATCH))
    except (KeyError, RuntimeError) as error:
        raise BenchError(f"{path} does not hold the weights of DINOv2.") from error
    loaded: Network = network.eval().to(device)
    return loaded


def dinov2_state(state: Mapping[str, "Tensor"], patches: int) -> dict[str, "Tensor"]:
    """Return released weights for a grid of patches x patches, without the mask token.

    Positions are interpolated as the released code does for its default, without antialiasing and
    by the ratio (patches + 0.1) / trained, which differs from resizing to a size.

    Raises:
        KeyError: the weights are not DINOv2's.
    """
    from torch import cat
    from torch.nn.functional import interpolate

    positions = state["pos_embed"].float()
    token, grid = positions[:, :1], positions[:, 1:]
    trained = math.isqrt(grid.shape[1])
    if trained != patches:
        square = grid.reshape(1, trained, trained, -1).permute(0, 3, 1, 2)
        ratio = (patches + 0.1) / trained
        square = interpolate(square, scale_factor=(ratio, ratio), mode="bicubic")
        grid = square.permute(0, 2, 3, 1).reshape(1, patches * patches, -1)
    kept = {name: value for name, value in state.items() if name != "mask_token"}
    return kept | {"pos_embed": cat([token, grid], dim=1)}


@cache
def _clip(path: Path, device: str) -> Network:
    import torch

    import_torchvision()
    module: Any = importlib.import_module("torch_fidelity.feature_extractor_clip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenAI published TorchScript
        try:
            loaded: Any = importlib.import_module("torch.jit").load(str(path), map_location="cpu")
            state = loaded.state_dict()
            network: Any = module.build_model(state, torch.float32).visual.to(device)
        except (KeyError, RuntimeError) as error:
            raise BenchError(f"{path} does not hold the weights of CLIP.") from error

    def embed(images: "Tensor") -> "Tensor":
        embedded: Tensor = network(images)
        return embedded / embedded.norm(dim=-1, keepdim=True)

    return embed


DINOV2 = DinoV2("timm", "timm", "dinov2-vit-l14", 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = Clip(
    "torch-fidelity",
    "torch_fidelity",
    "clip-vit-l14-336",
    336,
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
