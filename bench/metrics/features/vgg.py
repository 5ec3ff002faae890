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
from bench.images import Pixels
from bench.metrics.base import batches
from bench.metrics.features.backbones import BACKBONES, GET, LPIPS, backbone_path, load_backbone
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.inputs import UNIT, batch
from bench.networks.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from torch import Tensor, nn

_LAYERS = 30  # of torchvision's `features`: up to relu5_3
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

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
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

    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_MEAN, _STD))
    x = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
    return _network(device)(x).mean(dim=(2, 3))


@cache
def _network(device: str) -> "nn.Module":
    """Return torchvision's VGG16 up to relu5_3, loaded once."""
    import torch

    import_torchvision()
    from torchvision.models import vgg16

    with torch.device("meta"):  # nothing is allocated or drawn
        network: nn.Module = vgg16().features[:_LAYERS]
    tensors = load_backbone("vgg16").items()
    state = {name.removeprefix("features."): torch.from_numpy(t) for name, t in tensors}
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


VGG16 = Vgg16()
