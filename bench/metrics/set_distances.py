"""Set metrics: FID, KID, IS, CMMD, and Frechet and kernel distances on other features.

Images are compared with their originals, or with a reference set such as FFHQ, which restored
real-world images need, because these have no originals.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bench.core.errors import BenchError
from bench.metrics.base import Measure, SetMetric
from bench.metrics.features.cache import FeatureTable
from bench.metrics.features.extractor import Extractor
from bench.metrics.features.inception import CLEAN, LEGACY, PYTORCH_FID, NetworkExtractor
from bench.metrics.features.transformers import CLIP, DINOV2
from bench.metrics.features.vgg import VGG16
from bench.metrics.protocol import Protocol
from bench.metrics.sets import distributions, resampling
from bench.metrics.sets.resampling import RESAMPLES

_SPLITS = 10
_SIGMA = 10.0  # of CMMD's kernel
_RESAMPLED = 2000  # images at most: matrices of all pairs grow too large beyond


@dataclass(frozen=True)
class Distribution(SetMetric):
    """Set metric on the features of all images.

    Attributes:
        source: what makes the features.
        least: smallest number of images for which it is defined.
    """

    needs_features: ClassVar[bool] = False
    """True if mean and covariance of a reference set do not suffice."""
    arithmetic: ClassVar[str]
    """Description of the computation, for the identity."""

    source: Extractor
    least: int = 2

    @property
    def extractor(self) -> Extractor:
        return self.source

    @property
    def identity(self) -> str:
        return f"{self.name}: {self.arithmetic}{self._to()}, on {self.source.identity}"

    def unavailable(self) -> str | None:
        reason = self.source.unavailable()
        if reason is None and self.reference_set:
            return self.reference_set.lacks(self.source, features=self.needs_features)
        return reason

    def under(self, protocol: Protocol) -> Self:
        """Resize as the released scripts do under the paper protocol.

        That is torch-fidelity's way for FID to the originals, pytorch-fid's for FID to FFHQ.
        """
        source = self.source
        if protocol.name == "paper" and isinstance(source, NetworkExtractor):
            source = PYTORCH_FID if self.reference_set else LEGACY
        return replace(super().under(protocol), source=source)

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        if len(sr) < self.least:
            return f"{self.title} needs at least {self.least} images, but there are {len(sr)}."
        return self._value(sr, hr)

    def _to(self) -> str:
        """Describe the reference, for the identity."""
        return f", to {self.reference_set.identity}" if self.reference_set else ", to the originals"

    @abstractmethod
    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        """Return `measure` for a sufficient number of images."""

    def _other(self, hr: FeatureTable) -> distributions.Pieces:
        """Return the features to compare with: those of the reference set, else the originals'."""
        return self.reference_set.kept_features(self.source) if self.reference_set else hr


class Resampled(Distribution):
    """Set metric whose standard error is estimated from halves of the images."""

    @property
    def error(self) -> "StandardError":
        return StandardError(
            f"{self.name}-error",
            f"Standard error of {self.title}",
            higher_is_better=False,
            unit=self.unit,
            digits=self.digits,
            place=self.place,
            jpeg=self.jpeg,
            reference_set=self.reference_set,
            of=self,
        )


class Frechet(Resampled):
    """Frechet distance (Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017)."""

    arithmetic = "Frechet distance of pooled features, float64, covariance by n - 1"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        reference = self.reference_set
        other = reference.gaussian(self.source) if reference else distributions.fitted(hr, "pooled")
        return distributions.frechet_distance(distributions.fitted(sr, "pooled"), other)


class Kernel(Resampled):
    """Kernel distance (Binkowski et al., Demystifying MMD GANs, 2018)."""

    needs_features = True
    arithmetic = "unbiased polynomial MMD of degree 3 over all pairs, float64"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return distributions.kernel_distance(sr, self._other(hr), "pooled")


class Cmmd(Distribution):
    """CMMD (Jayasumana et al., Rethinking FID, CVPR 2024): MMD of CLIP embeddings, times 1000.

    The estimator is biased: equal sets give 0, and two samples of one distribution a little more.
    """

    needs_features = True
    arithmetic = f"1000 x biased MMD, Gaussian kernel of sigma {_SIGMA:g}, unit embeddings, float64"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return 1000 * distributions.gaussian_mmd(sr, self._other(hr), "pooled", _SIGMA)


class Score(Distribution):
    """Inception Score (Salimans et al., Improved Techniques for Training GANs, 2016).

    It says little about faces.
    """

    compared_with = "itself"
    arithmetic = f"Inception Score of logits without bias, {_SPLITS} splits in the order of hashes"

    def _to(self) -> str:
        return ""

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return distributions.inception_score(sr, "logits", _SPLITS)


@dataclass(frozen=True)
class StandardError(SetMetric):
    """Standard error of a set metric, by drawing halves of the images.

    Attributes:
        of: the metric.
    """

    of: Distribution

    @property
    def extractor(self) -> Extractor:
        return self.of.source

    @property
    def identity(self) -> str:
        return f"standard error over {RESAMPLES} halves of the images, {self.of.identity}"

    def unavailable(self) -> str | None:
        return self.of.unavailable()

    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        least = 2 * self.of.least  # for half of them
        if not least <= len(sr) <= _RESAMPLED:
            return f"It needs {least} to {_RESAMPLED} images, but there are {len(sr)}."
        return resampling.standard_error(self._statistic(sr, hr), len(sr))

    def _statistic(self, sr: FeatureTable, hr: FeatureTable) -> resampling.Statistic:
        """Return the metric as a function of the indices of some images."""
        # In the order of the originals, so that the same images are drawn for every method.
        order = sorted(range(len(hr)), key=lambda i: hr.pictures[i])
        x = sr.rows("pooled", order)
        kernel, reference = isinstance(self.of, Kernel), self.reference_set
        if reference and kernel:
            return resampling.kernel_to(x, reference.kept_features(self.of.source))
        if reference:
            return resampling.frechet_to(x, reference.gaussian(self.of.source))
        y = hr.rows("pooled", order)
        return (resampling.kernel_statistic if kernel else resampling.frechet_statistic)(x, y)


def extractors(labels: tuple[str, ...] = ()) -> list[Extractor]:
    """Return the extractors of set distances by their labels (default: all).

    Raises:
        BenchError: an unknown label.
    """
    known = {source.label: source for source in (CLEAN, LEGACY, PYTORCH_FID, VGG16, DINOV2, CLIP)}
    if unknown := [label for label in labels if label not in known]:
        raise BenchError(f"There is no extractor {unknown[0]!r}: choose {', '.join(known)}.")
    return [known[label] for label in labels or known]


METRICS: tuple[Measure, ...] = (
    Frechet("fid", "FID", False, "", 2, 40, source=CLEAN),
    Frechet("fid-legacy", "FID-legacy", False, "", 2, 41, source=LEGACY),
    Kernel("kid", "KID", False, "", 5, 42, source=LEGACY),
    Score("is", "IS", True, "", 3, 43, source=LEGACY, least=_SPLITS),
    Frechet("fd-vgg16", "FD-VGG16", False, "", 2, 44, source=VGG16),
    Kernel("kd-vgg16", "KD-VGG16", False, "", 4, 45, source=VGG16),
    Frechet("fd-dinov2", "FD-DINOv2", False, "", 2, 46, source=DINOV2),
    Cmmd("cmmd", "CMMD", False, "", 3, 46, source=CLIP),
)
