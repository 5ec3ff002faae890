"""Base classes of metrics: per image, per image from features, and of whole sets.

A `Metric` compares an image with its reference, a `FeatureMetric` the network features of the two,
and a `SetMetric` the features of all images with those of all originals. Metrics with the same
extractor share its features, which are cached per image. All derive from `Measure`, which holds
what tables need to know.
"""

import importlib.metadata
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from bench.core.errors import BenchError
from bench.images import Pixels
from bench.metrics.features.cache import FeatureTable
from bench.metrics.features.extractor import Extractor, Features
from bench.metrics.protocol import Protocol, jpeg_identity
from bench.metrics.sets.reference_set import ReferenceSet

_DEVICE_PIXELS = 64 * 512 * 512
"""Largest batch on a GPU; larger ones are not faster."""

Reference = Literal["hr", "lr", "itself", "repetitions"]


@dataclass(frozen=True)
class Measure(ABC):
    """A measured column: its description in tables and the identity of its values.

    Building one and reading these fields is cheap: what is heavy is imported on first use.

    Attributes:
        name: how people ask for it, like "lpips-vgg".
        title: what tables print.
        higher_is_better: its direction.
        unit: "dB", or "" for a pure number.
        digits: decimals to print.
        place: columns are listed by this number, then by name.
        jpeg: whether images pass through JPEG before they are measured, see `bench.metrics.
            protocol`; their originals never do.
        device: where its networks compute, such as "cuda:0". It is no part of the identity.
    """

    per: ClassVar[Literal["image", "set", "run"]] = "image"
    compared_with: ClassVar[Reference] = "hr"
    """Reference of each image: its original, the LR input, itself (no reference), or the same image
    in other repetitions of the run."""

    name: str
    title: str
    higher_is_better: bool
    unit: str
    digits: int
    place: int
    jpeg: bool = field(default=False, kw_only=True)
    device: str = field(default="cpu", kw_only=True, compare=False, repr=False)

    @property
    @abstractmethod
    def identity(self) -> str:
        """Return a sentence with everything that the value of two images depends on."""

    @property
    def reference(self) -> Reference:
        """Return the reference that each image is compared with."""
        return self.compared_with

    @property
    def reference_name(self) -> str:
        """Return the display name of the reference set; "" without one."""
        return ""

    @property
    def key(self) -> str:
        """Return identity and image encoding; equal keys mean equal values."""
        return f"{self.identity}, pictures as {jpeg_identity()}" if self.jpeg else self.identity

    @property
    def error(self) -> "Measure | None":
        """Return the measure of a set metric's standard error, if any."""
        return None

    @property
    def reference_jpeg(self) -> bool:
        """Return True if references are JPEG-compressed too."""
        return self.jpeg and self.reference in {"itself", "repetitions"}

    @property
    def records(self) -> tuple[str, ...]:
        """Return the names of required public checkpoints in `bench weights get`."""
        return ()

    def unavailable(self) -> str | None:
        """Return why it cannot be computed, with the command that fixes it; None if it can."""
        return None

    def under(self, protocol: Protocol) -> Self:
        """Return this column under a protocol."""
        return replace(self, jpeg=protocol.jpeg)

    def on(self, device: str) -> Self:
        """Return this column computed on a device."""
        return replace(self, device=device)

    def against(self, reference: ReferenceSet) -> Self:
        """Return this column with a reference set, if it compares sets."""
        return self

    def of_testset(self, recipe: str, degradation: str) -> Self:
        """Return this column for a recipe and a degradation, if it depends on them."""
        return self

    @property
    def parts(self) -> "tuple[Measure, ...]":
        """Return the columns that this one is derived from; empty for measured ones."""
        return ()

    @property
    def computed(self) -> "tuple[Measure, ...]":
        """Return the columns to compute and store for this one."""
        if self.parts:
            return tuple(measure for part in self.parts for measure in part.computed)
        return (self, self.error) if self.error else (self,)

    def combined(self, values: Sequence[float]) -> float:
        """Return the value of a derived column from the values of its parts."""
        raise NotImplementedError


@dataclass(frozen=True)
class Metric(Measure):
    """Metric with one value per image, from the image and its reference."""

    def score(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        """Score each image against its reference, by default its original.

        Args:
            sr: images, uint8 RGB [H, W, 3]; their sizes may differ.
            hr: references in the same order; an original has the size of its image.

        Returns:
            One value per image, which depends on that image and its reference only, up to 1e-5.

        Raises:
            BenchError: the lists are empty or of different lengths, an image differs in size from
                its original or is too small, or the metric is unavailable.
        """
        if not sr or not hr:
            raise BenchError(f"{self.title} got no images: give at least one.")
        if len(sr) != len(hr):
            raise BenchError(
                f"{self.title} got {len(sr)} pictures and {len(hr)} originals: "
                "give one original per picture."
            )
        for index, (picture, original) in enumerate(zip(sr, hr, strict=True)):
            self._check(index, picture, original)
        if reason := self.unavailable():
            raise BenchError(f"{self.title}: {reason}")
        return self._values(sr, hr)

    def _check(self, index: int, picture: Pixels, original: Pixels) -> None:
        for pixels in (picture, original):
            if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
                raise BenchError(
                    f"{self.title}: picture {index} is {pixels.dtype} of shape "
                    f"{list(pixels.shape)}: give uint8 of shape [H, W, 3]."
                )
        if self.reference != "lr" and picture.shape != original.shape:
            raise BenchError(
                f"{self.title}: picture {index} is {size(picture)} but its original is "
                f"{size(original)}: give pictures of the original's size."
            )
        if min(picture.shape[:2]) < self._smallest():
            raise BenchError(
                f"{self.title}: picture {index} is {size(picture)}: "
                f"give at least {self._smallest()} pixels each way."
            )

    def _smallest(self) -> int:
        """Return the smallest supported height and width."""
        return 1

    @abstractmethod
    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        """Return `score` for validated lists, once the metric is available."""


@dataclass(frozen=True)
class _OfFeatures(Measure):
    """Metric on the features of an extractor."""

    @property
    @abstractmethod
    def extractor(self) -> Extractor:
        """Return the extractor of the features."""

    @property
    def records(self) -> tuple[str, ...]:
        return self.extractor.records

    def unavailable(self) -> str | None:
        return self.extractor.unavailable()


@dataclass(frozen=True)
class FeatureMetric(_OfFeatures):
    """Metric with one value per image, from the features of the image and its original."""

    @abstractmethod
    def compare(self, sr: Features, hr: Features) -> float | str:
        """Return the value, or why the image has none, such as "no face was found"."""


@dataclass(frozen=True)
class SetMetric(_OfFeatures):
    """Metric with one value per set, from the features of all images and originals.

    It is never averaged, and the order of the images does not matter.

    Attributes:
        reference_set: what it compares with in place of the originals.
    """

    per: ClassVar[Literal["image", "set", "run"]] = "set"
    reference_set: ReferenceSet | None = field(default=None, kw_only=True)

    @property
    def reference(self) -> Reference:
        return "itself" if self.reference_set else self.compared_with

    @property
    def reference_name(self) -> str:
        return str(self.reference_set or "")

    def against(self, reference: ReferenceSet) -> Self:
        return replace(self, reference_set=reference) if self.compared_with == "hr" else self

    @abstractmethod
    def measure(self, sr: FeatureTable, hr: FeatureTable) -> float | str:
        """Return the value of the images against the originals, or why there is none.

        Row i of both is of one image.
        """


def no_face(sr: Features, hr: Features, reference: str = "original") -> str | None:
    """Return which of two images has no face by the feature "found"; None if both have one."""
    if not sr["found"][0]:
        return "no face was found"
    return None if hr["found"][0] else f"no face was found in the {reference}"


def size(pixels: Pixels) -> str:
    """Return the size of an image [H, W, 3] as text: "256x128"."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def package_version(package: str) -> str:
    """Return the installed version of a package, or "absent"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def batches(pictures: Sequence[Pixels], pixels: int, device: str = "cpu") -> list[list[int]]:
    """Group indices into batches of equal image size and bounded pixel count.

    A GPU gets batches of all images of a size, which are halved where its memory is too small.
    """
    pixels = pixels if device == "cpu" else _DEVICE_PIXELS
    by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        by_shape[picture.shape].append(index)
    found = []
    for (height, width, _), indices in by_shape.items():
        count = max(1, pixels // (height * width))
        found += [indices[start : start + count] for start in range(0, len(indices), count)]
    return found
