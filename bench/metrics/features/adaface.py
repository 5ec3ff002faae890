"""AdaFace: the face embedding of the NTIRE challenges' identity check.

Kim, Jain, Liu: AdaFace, Quality Adaptive Margin for Face Recognition (CVPR 2022), IR-50 trained on
MS1MV2. Faces are aligned to 112 px by five points, and fed in blue, green, red as in the authors'
code. The challenges have a file with the points of their own images; here dlib finds them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.checkpoints import checkpoint_missing, checkpoint_path, checkpoint_sha256
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.landmarks import LANDMARKS
from bench.testsets.align import five_points

if TYPE_CHECKING:
    from torch import nn

RECORD = "adaface-ir50"
_SIZE = 112

_FIVE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""ArcFace's positions of eyes, nose and mouth corners in 112 x 112 pixels (Deng et al., 2019)."""

_STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Channels and blocks of IR-50's stages; the first block of each halves the resolution."""


@dataclass(frozen=True)
class AdaFace(Extractor):
    """Unit embeddings of the largest face.

    Features are "embedding" [512], of zeros where no face was found, and "found" [1].
    """

    records = (RECORD,)

    @property
    def identity(self) -> str:
        return f"AdaFace IR-50, weights {checkpoint_sha256(RECORD)}, {LANDMARKS.identity}"

    def unavailable(self) -> str | None:
        return LANDMARKS.unavailable() or checkpoint_missing(RECORD)

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        import torch

        if reason := self.unavailable():
            raise BenchError(f"AdaFace: {reason}")
        found = LANDMARKS.extract(pictures)
        network = _network(device)
        features: list[Features] = []
        with torch.inference_mode():
            for pixels, points in zip(pictures, found, strict=True):
                if not points["found"][0]:
                    features.append({"embedding": np.zeros(512, np.float32), "found": np.zeros(1)})
                    continue
                face = aligned(pixels, points["points"])[..., ::-1].astype(np.float32)
                signed = torch.from_numpy((face / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
                embedding = torch.nn.functional.normalize(network(signed.to(device)))[0]
                features.append({"embedding": embedding.cpu().numpy(), "found": np.ones(1)})
        return features


def aligned(pixels: Pixels, points: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Return the aligned face [112, 112, 3], fitted by a similarity to five points."""
    from skimage.transform import SimilarityTransform

    to_image = SimilarityTransform.from_estimate(_FIVE, five_points(np.asarray(points, float)))
    (a, b, x), (c, d, y) = to_image.params[:2]
    # Pillow counts from the corner of a pixel, landmarks from its centre.
    matrix = (a, b, x + 0.5 - (a + b) / 2, c, d, y + 0.5 - (c + d) / 2)
    face = Image.fromarray(pixels).transform(
        (_SIZE, _SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(face)


@cache
def _network(device: str) -> "nn.Module":
    from bench.networks.pickles import read_pickle

    path = checkpoint_path(RECORD)
    # The released file also holds the classification head of the training.
    state = {
        name.removeprefix("model."): tensor
        for name, tensor in read_pickle(path).items()
        if name.startswith("model.")
    }
    network = ir_50()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BenchError(f"{path} is not AdaFace's IR-50: {str(error).splitlines()[0]}") from None
    return network.eval().requires_grad_(False).to(device)


def ir_50() -> "nn.Module":
    """Return IR-50, [B, 3, 112, 112] in [-1, 1] to [B, 512], with AdaFace's parameter names."""
    import torch
    from torch import nn

    class Block(nn.Module):
        """A residual block without a final activation (Han et al., 2017)."""

        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
            if before != after:
                self.shortcut_layer = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
                )
            self.res_layer = nn.Sequential(
                nn.BatchNorm2d(before),
                nn.Conv2d(before, after, 3, 1, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.PReLU(after),
                nn.Conv2d(after, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            branch: torch.Tensor = self.res_layer(x)
            return branch + self.shortcut_layer(x)

    blocks: list[nn.Module] = []
    before = 64
    for channels, count in _STAGES:
        for number in range(count):
            blocks.append(Block(before, channels, 1 if number else 2))
            before = channels
    return nn.Sequential(
        OrderedDict(
            input_layer=nn.Sequential(
                nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
            ),
            body=nn.Sequential(*blocks),
            output_layer=nn.Sequential(
                nn.BatchNorm2d(512),
                nn.Dropout(0.4),
                nn.Flatten(),
                nn.Linear(512 * 7 * 7, 512),
                nn.BatchNorm1d(512, affine=False),
            ),
        )
    )


ADAFACE = AdaFace()
