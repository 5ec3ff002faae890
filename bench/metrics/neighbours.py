"""Precision and recall of a set of images, by nearest neighbours among features.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila: Improved Precision and Recall Metric for Assessing
Generative Models (NeurIPS 2019). An image's reach is the distance to its third nearest neighbour
in its own set. Precision is the share of results within reach of an original, recall the share of
originals within reach of a result. Both need some hundred images.
"""

import numpy as np
import numpy.typing as npt

from bench.metrics.base import Measure
from bench.metrics.features.cache import FeatureTable
from bench.metrics.features.inception import LEGACY
from bench.metrics.features.vgg import VGG16
from bench.metrics.set_distances import Distribution
from bench.metrics.sets.distributions import Array, Pieces

NEIGHBOURS = 3


_ARITHMETIC = f"{NEIGHBOURS} neighbours, Euclidean, float64"


class Precision(Distribution):
    """Percentage of results within the neighbourhoods of originals."""

    needs_features = True
    arithmetic = f"Precision, {_ARITHMETIC}"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return 100 * covered(sr, self._other(hr), "pooled")


class Recall(Distribution):
    """Percentage of originals within the neighbourhoods of results."""

    needs_features = True
    arithmetic = f"Recall, {_ARITHMETIC}"

    def _value(self, sr: FeatureTable, hr: FeatureTable) -> float:
        return 100 * covered(self._other(hr), sr, "pooled")


def covered(points: Pieces, balls: Pieces, name: str) -> float:
    """Return the share of points within reach of any point in the other set."""
    reach = np.concatenate([_reach(piece, balls, name) for piece in balls.pieces(name)])
    inside = 0
    for piece in points.pieces(name):
        found = np.zeros(len(piece), bool)
        start = 0
        for others in balls.pieces(name):
            found |= (_distances(piece, others) <= reach[start : start + len(others)]).any(axis=1)
            start += len(others)
        inside += int(found.sum())
    return inside / len(points)


def _reach(images: Array, of: Pieces, name: str) -> Array:
    """Return the distance [n] of each point to its third nearest neighbour in the set."""
    nearest = np.full((len(images), NEIGHBOURS + 1), np.inf)  # with the image itself, at 0
    for others in of.pieces(name):
        together = np.concatenate([nearest, _distances(images, others)], axis=1)
        nearest = np.partition(together, NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1]
    return np.asarray(nearest.max(axis=1))


def _distances(one: Array, other: Array) -> npt.NDArray[np.float64]:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(one, other))


METRICS: tuple[Measure, ...] = (
    Precision("precision-vgg16", "Precision-VGG16", True, "%", 1, 45, source=VGG16, least=8),
    Recall("recall-vgg16", "Recall-VGG16", True, "%", 1, 46, source=VGG16, least=8),
    Precision("precision", "Precision", True, "%", 1, 47, source=LEGACY, least=8),
    Recall("recall", "Recall", True, "%", 1, 48, source=LEGACY, least=8),
)
