"""VGG16's pooled features, for set distances without a further download.

The last convolution (relu5_3, 512 channels), averaged over the image. A deep layer, because
distances of sets ask whether images show faces, not whether pixels agree; the last one below the
classifier, because that one's 1,000 ImageNet classes reward features that have nothing to do with
faces (Kynkäänniemi et al., The Role of ImageNet Classes in FID, ICLR 2023). Extractors rank methods
differently (Stein et al., Exposing Flaws of Generative Model Evaluation Metrics, NeurIPS 2023), so
that these distances are named for theirs and never called FID.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bench.core.errors import BenchError
from bench.metrics.backbones import BACKBONES, GET, LPIPS, backbone_path, load_backbone
from bench.metrics.base import batches
from bench.metrics.features import Extractor, Features
from bench.metrics.inputs import UNIT, batch

if TYPE_CHECKING:
    from torch import Tensor

    from bench.images import Pixels

_BLOCKS = (2, 2, 3, 3, 3)  # convolutions between two poolings
_BATCH_PIXELS = 8 * 256 * 256
_SMALLEST = 16  # pixels: the last pooling needs at least one
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's


@dataclass(frozen=True)
class Vgg16(Extractor):
    """VGG16 trained on ImageNet, applied without resizing."""

    records = (LPIPS,)

    @property
    def identity(self) -> str:
        return (
            "relu5_3 of VGG16 averaged over the image, float32, own size, "
            f"weights {BACKBONES['vgg16'].sha256}"
        )

    def unavailable(self) -> str | None:
        if not backbone_path("vgg16").is_file():
            return f"VGG16 is missing: run `{GET}`."
        return None

    def extract(self, pictures: "Sequence[Pixels]", device: str = "cpu") -> list[Features]:
        import torch

        if reason := self.unavailable():
            raise BenchError(reason)
        if small := [p.shape for p in pictures if min(p.shape[:2]) < _SMALLEST]:
            raise BenchError(
                f"VGG16 needs images of at least {_SMALLEST} px each way, but one is "
                f"{small[0][1]}x{small[0][0]}."
            )
        found: dict[int, Features] = {}
        with torch.inference_mode():
            for indices in batches(pictures, _BATCH_PIXELS, device):
                images = batch([pictures[index] for index in indices], UNIT, device)
                pooled = _features(images, device).cpu().numpy()
                for row, index in zip(pooled, indices, strict=True):
                    found[index] = {"pooled": row}
        return [found[index] for index in range(len(pictures))]


def _features(images: "Tensor", device: str) -> "Tensor":
    """Pool relu5_3 of [B, 3, H, W] in [0, 1] over the image, [B, 512]."""
    import torch
    from torch.nn.functional import conv2d, max_pool2d

    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_MEAN, _STD))
    x = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
    layers = iter(_convolutions(device))
    for number, count in enumerate(_BLOCKS):
        x = max_pool2d(x, 2) if number else x
        for _ in range(count):
            x = conv2d(x, *next(layers), padding=1).relu_()
    return x.mean(dim=(2, 3))


@cache
def _convolutions(device: str) -> "tuple[tuple[Tensor, Tensor], ...]":
    """Return weight and bias of each convolution, loaded once."""
    import torch

    tensors = load_backbone("vgg16")
    return tuple(
        (
            torch.from_numpy(tensors[f"features.{layer}.weight"])
            .contiguous(memory_format=torch.channels_last)
            .to(device),
            torch.from_numpy(tensors[f"features.{layer}.bias"]).to(device),
        )
        for layer in BACKBONES["vgg16"].layers
    )


VGG16 = Vgg16()
