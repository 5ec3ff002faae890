"""Inception for FID, KID and IS, with the preprocessing of three packages.

How images are resized to its 299 px changes values by more than methods differ:

clean: PIL's bicubic filter on floating point (Parmar, Zhang, Zhu: On Aliased Resizing and
Surprising Subtleties in GAN Evaluation, 2022), as clean-fid does.
legacy: bilinear as TensorFlow 1 had it, inside the network, as torch-fidelity does.
pytorch-fid: bilinear by PyTorch without antialiasing, on the same weights as legacy.
"""

import importlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.base import batches, package_version
from bench.metrics.checkpoints import checkpoint_path, checkpoint_sha256
from bench.metrics.features.extractor import Features, PackagedExtractor
from bench.metrics.inputs import as_bytes
from bench.networks.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from torch import Tensor

_SIZE = 299
_BATCH_PIXELS = 8 * _SIZE * _SIZE  # at most; each is resized to 299 px

Network = Callable[["Tensor"], Sequence["Tensor"]]
"""[B, 3, H, W] in 0 to 255 to pooled features [B, D] and, of some networks, logits [B, C]."""


@dataclass(frozen=True)
class NetworkExtractor(PackagedExtractor):
    """Inception with one package's resizing."""

    @property
    def label(self) -> str:
        return self.package

    @property
    def identity(self) -> str:
        weights = checkpoint_sha256(self.weights)
        return f"{self.package} {package_version(self.package)}, weights {weights}"

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        import torch

        if reason := self.unavailable():
            raise BenchError(f"Inception: {reason}")
        network = self.network(device)
        found: dict[int, Features] = {}
        with torch.inference_mode():
            for batch in batches(pictures, _BATCH_PIXELS, device):
                outputs = network(self.resized([pictures[index] for index in batch], device))
                named = zip(("pooled", "logits"), outputs, strict=False)
                arrays = {name: output.float().cpu().numpy() for name, output in named}
                for place, index in enumerate(batch):
                    found[index] = {name: array[place] for name, array in arrays.items()}
        return [found[index] for index in range(len(pictures))]

    @abstractmethod
    def resized(self, pictures: Sequence[Pixels], device: str = "cpu") -> "Tensor":
        """Return images [H, W, 3] of one size as network input [B, 3, h, w] in 0 to 255."""

    @abstractmethod
    def network(self, device: str = "cpu") -> Network:
        """Return the network on a device, loaded once."""


@dataclass(frozen=True)
class Clean(NetworkExtractor):
    """clean-fid's preprocessing: resized to 299 px by PIL's bicubic filter in float32."""

    def resized(self, pictures: Sequence[Pixels], device: str = "cpu") -> "Tensor":
        import torch

        return torch.from_numpy(np.stack([clean_resized(p) for p in pictures])).to(device)

    def network(self, device: str = "cpu") -> Network:
        return _clean_network(self.weights, device)


@dataclass(frozen=True)
class PytorchFid(NetworkExtractor):
    """pytorch-fid's and BasicSR's preprocessing: bilinear resizing without antialiasing."""

    label = "pytorch-fid"

    @property
    def identity(self) -> str:
        return f"{super().identity}, resized as pytorch-fid does"

    def resized(self, pictures: Sequence[Pixels], device: str = "cpu") -> "Tensor":
        from torch.nn.functional import interpolate

        unit = as_bytes(pictures, device).float() / 255
        return 255 * interpolate(unit, (_SIZE, _SIZE), mode="bilinear", align_corners=False)

    def network(self, device: str = "cpu") -> Network:
        return _pytorch_fid_network(self.weights, device)


@dataclass(frozen=True)
class Legacy(NetworkExtractor):
    """torch-fidelity's preprocessing: the network resizes to 299 px like TensorFlow 1."""

    def resized(self, pictures: Sequence[Pixels], device: str = "cpu") -> "Tensor":
        return as_bytes(pictures, device)

    def network(self, device: str = "cpu") -> Network:
        return _legacy_network(self.weights, device)


def clean_resized(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Resize an image [H, W, 3] to float32 [3, 299, 299] in 0 to 255, channel by channel."""
    channels = [
        Image.fromarray(pixels[..., channel].astype(np.float32)).resize(
            (_SIZE, _SIZE), Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels]).clip(0, 255)


@cache
def _clean_network(weights: str, device: str) -> Network:
    import_torchvision()
    module: Any = importlib.import_module("cleanfid.inception_torchscript")
    network = (
        module.InceptionV3W(str(checkpoint_path(weights).parent), download=False).eval().to(device)
    )
    return lambda pictures: (network(pictures),)


@cache
def _legacy_network(weights: str, device: str) -> Network:
    import torch

    import_torchvision()
    module: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    # The package unpickles without restrictions; a file that passes here holds tensors only.
    path = checkpoint_path(weights)
    torch.load(path, map_location="cpu", weights_only=True)
    network: Any = module.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    # Channels last: convolutions take a quarter less time on a CPU.
    found: Network = network.to(device, memory_format=torch.channels_last)
    return found


@cache
def _pytorch_fid_network(weights: str, device: str) -> Network:
    """Return torch-fidelity's network without its resizing, for inputs in [-1, 1]."""
    import torch

    network: Any = _legacy_network(weights, device)

    def see(resized: "Tensor") -> "Sequence[Tensor]":
        signed = resized / 127.5 - 1  # torch-fidelity's own is (x - 128) / 128
        hook = network.Conv2d_1a_3x3.register_forward_pre_hook(lambda *_: (signed,))
        try:
            found: Sequence[Tensor] = network(
                torch.zeros(1, 3, _SIZE, _SIZE, dtype=torch.uint8, device=device)
            )
        finally:
            hook.remove()
        return found

    return see


CLEAN = Clean("clean-fid", "cleanfid", "inception-clean-fid")
LEGACY = Legacy("torch-fidelity", "torch_fidelity", "inception-torch-fidelity")
PYTORCH_FID = PytorchFid("torch-fidelity", "torch_fidelity", "inception-torch-fidelity")
