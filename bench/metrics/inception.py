"""FID, KID and IS: how far what Inception sees in all pictures is from what it sees in originals.

The network of 2015 in two conversions, as two packages read them, because how pictures are enlarged
to its 299 px changes values by more than methods differ:

clean: PIL's bicubic filter on floating point, then the network (Parmar, Zhang, Zhu: On Aliased
Resizing and Surprising Subtleties in GAN Evaluation, 2022), as clean-fid does.
legacy: bilinear as TensorFlow 1 had it, inside the network, as torch-fidelity does.
"""

import importlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from bench.errors import BenchError
from bench.metrics import distributions, resampling
from bench.metrics.checkpoints import checkpoint_missing, checkpoint_path, checkpoint_sha256
from bench.metrics.features import Extractor, Features, FeatureTable
from bench.metrics.metric import Measure, Reference, SetMetric, batches, package_version
from bench.resources import missing_packages
from bench.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from bench.images import Pixels
    from bench.metrics.protocol import Protocol

_SIZE = 299
_BATCH_PIXELS = 8 * _SIZE * _SIZE  # at most; the network has each at 299 px
_SPLITS = 10
_RESAMPLED = 2000  # pictures at most: of more, the matrices of all pairs grow too large

Network = Callable[["Tensor"], Sequence["Tensor"]]
"""[B, 3, H, W] in 0 to 255 to pooled features [B, D] and, of some networks, logits [B, C]."""


@dataclass(frozen=True)
class NetworkExtractor(Extractor):
    """A network by one package's resizing.

    Attributes:
        package: as it is installed.
        module: as it is imported.
        weights: the checkpoint that it reads.
    """

    package: str
    module: str
    weights: str

    @property
    def identity(self) -> str:
        weights = checkpoint_sha256(self.weights)
        return f"{self.package} {package_version(self.package)}, weights {weights}"

    def unavailable(self) -> str | None:
        if missing := missing_packages("fid", self.module):
            return f"{missing}."
        return checkpoint_missing(self.weights)

    def extract(self, pictures: "Sequence[Pixels]") -> list[Features]:
        import torch

        if reason := self.unavailable():
            raise BenchError(f"Inception: {reason}")
        network = self.network()
        found: dict[int, Features] = {}
        with torch.inference_mode():
            for batch in batches(pictures, _BATCH_PIXELS):
                outputs = network(self.resized([pictures[index] for index in batch]))
                named = zip(("pooled", "logits"), outputs, strict=False)
                arrays = {name: output.float().cpu().numpy() for name, output in named}
                for place, index in enumerate(batch):
                    found[index] = {name: array[place] for name, array in arrays.items()}
        return [found[index] for index in range(len(pictures))]

    @abstractmethod
    def resized(self, pictures: "Sequence[Pixels]") -> "Tensor":
        """Pictures [H, W, 3] of one size as the network takes them, [B, 3, h, w] in 0 to 255."""

    @abstractmethod
    def network(self) -> Network:
        """The network, loaded once."""


@dataclass(frozen=True)
class Clean(NetworkExtractor):
    """Enlarged or reduced to 299 px by PIL's bicubic filter, without rounding to 8 bits."""

    def resized(self, pictures: "Sequence[Pixels]") -> "Tensor":
        import torch

        return torch.from_numpy(np.stack([clean_resized(pixels) for pixels in pictures]))

    def network(self) -> Network:
        return _clean_network(self.weights)


@dataclass(frozen=True)
class Legacy(NetworkExtractor):
    """Left to the network, which enlarges to 299 px as TensorFlow 1 did."""

    def resized(self, pictures: "Sequence[Pixels]") -> "Tensor":
        import torch

        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    def network(self) -> Network:
        return _legacy_network(self.weights)


def clean_resized(pixels: "Pixels") -> "npt.NDArray[np.float32]":
    """A picture [H, W, 3] to [3, 299, 299] float32 in 0 to 255, each channel as floating point."""
    from PIL import Image

    channels = [
        Image.fromarray(pixels[..., channel].astype(np.float32)).resize(
            (_SIZE, _SIZE), Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels]).clip(0, 255)


@cache
def _clean_network(weights: str) -> Network:
    import_torchvision()
    module: Any = importlib.import_module("cleanfid.inception_torchscript")
    network = module.InceptionV3W(str(checkpoint_path(weights).parent), download=False).eval()
    return lambda pictures: (network(pictures),)


@cache
def _legacy_network(weights: str) -> Network:
    import torch

    import_torchvision()
    module: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    # The package unpickles the file with all that it may hold; what passes here holds tensors only.
    path = checkpoint_path(weights)
    torch.load(path, map_location="cpu", weights_only=True)
    network: Any = module.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    # In this order of memory its convolutions take a quarter less time on a CPU.
    found: Network = network.to(memory_format=torch.channels_last)
    return found


@dataclass(frozen=True)
class InceptionMetric(SetMetric):
    """A metric of the features of all pictures.

    Attributes:
        source: what makes the features.
        least: pictures that it is defined for.
    """

    source: NetworkExtractor
    least: int

    @property
    def extractor(self) -> NetworkExtractor:
        return self.source

    @property
    def identity(self) -> str:
        return f"{self.name}: {self._arithmetic()}, on {self.source.identity}"

    def unavailable(self) -> str | None:
        return self.source.unavailable()

    def under(self, protocol: "Protocol") -> Self:
        """The released scripts leave resizing to torch-fidelity."""
        source = LEGACY if protocol.name == "paper" else self.source
        return replace(super().under(protocol), source=source)

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        if len(sr) < self.least:
            return f"{self.title} needs at least {self.least} pictures, and there are {len(sr)}."
        return self._value(sr, hr)

    @abstractmethod
    def _arithmetic(self) -> str:
        """What is computed, for the identity."""

    @abstractmethod
    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        """`measure` of enough pictures."""


@dataclass(frozen=True)
class StandardError(SetMetric):
    """How much a metric owes to the choice of images, by drawing them again.

    Attributes:
        of: the metric.
        statistic: its value for parts of the images, from features of pictures and originals.
    """

    of: InceptionMetric
    statistic: resampling.OfFeatures

    @property
    def extractor(self) -> NetworkExtractor:
        return self.of.source

    @property
    def identity(self) -> str:
        return (
            f"standard error over {resampling.RESAMPLES} halves of the images, {self.of.identity}"
        )

    def unavailable(self) -> str | None:
        return self.of.unavailable()

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        least = 2 * self.of.least  # for a half of them
        if not least <= len(sr) <= _RESAMPLED:
            return f"It is computed of {least} to {_RESAMPLED} pictures, and there are {len(sr)}."
        # In the originals' order, so that every method has the same images drawn.
        order = sorted(range(len(hr)), key=lambda i: hr.pictures[i])
        x, y = (table.rows("pooled", order) for table in (sr, hr))
        return resampling.standard_error(self.statistic(x, y), len(order))


def _error_of(metric: InceptionMetric, statistic: resampling.OfFeatures) -> StandardError:
    return StandardError(
        f"{metric.name}-error",
        f"Standard error of {metric.title}",
        higher_is_better=False,
        unit=metric.unit,
        digits=metric.digits,
        place=metric.place,
        jpeg=metric.jpeg,
        of=metric,
        statistic=statistic,
    )


class Frechet(InceptionMetric):
    """Heusel and others: GANs Trained by a Two Time-Scale Update Rule (2017)."""

    @property
    def error(self) -> StandardError:
        return _error_of(self, resampling.frechet_statistic)

    def _arithmetic(self) -> str:
        return "Frechet distance of pooled features, float64, covariance by n - 1, to the originals"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        one, other = (distributions.fitted(table, "pooled") for table in (sr, hr))
        return distributions.frechet_distance(one, other)


class Kernel(InceptionMetric):
    """Binkowski and others: Demystifying MMD GANs (2018)."""

    @property
    def error(self) -> StandardError:
        return _error_of(self, resampling.kernel_statistic)

    def _arithmetic(self) -> str:
        return "unbiased polynomial MMD of degree 3 over all pairs, float64, to the originals"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return distributions.kernel_distance(sr, hr, "pooled")


class Score(InceptionMetric):
    """Salimans and others: Improved Techniques for Training GANs (2016); weak for faces."""

    reference: ClassVar[Reference] = "itself"

    def _arithmetic(self) -> str:
        return f"Inception Score of logits without bias, {_SPLITS} splits in the order of hashes"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return distributions.inception_score(sr, "logits", _SPLITS)


CLEAN = Clean("clean-fid", "cleanfid", "inception-clean-fid")
LEGACY = Legacy("torch-fidelity", "torch_fidelity", "inception-torch-fidelity")

METRICS: tuple[Measure, ...] = (
    Frechet("fid", "FID", False, "", 2, 40, source=CLEAN, least=2),
    Frechet("fid-legacy", "FID-legacy", False, "", 2, 41, source=LEGACY, least=2),
    Kernel("kid", "KID", False, "", 5, 42, source=LEGACY, least=2),
    Score("is", "IS", True, "", 3, 43, source=LEGACY, least=_SPLITS),
)
