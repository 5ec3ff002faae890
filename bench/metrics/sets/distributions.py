"""Arithmetic of FID, KID, CMMD and IS.

Everything is float64 and reads features a piece at a time, so that memory grows with their width
and not with the number of images.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bench.metrics.features.cache import FeatureTable

Array = npt.NDArray[np.float64]


class Pieces(Protocol):
    """Features of a set of images, read in chunks."""

    def __len__(self) -> int: ...

    def pieces(self, name: str) -> Iterator[Array]:
        """Yield one feature of all images in chunks [n, D]."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: mean [D] and a root A [r, D] of the covariance A'A."""

    mean: Array
    root: Array

    @property
    def variance(self) -> float:
        """Return the trace of the covariance."""
        return float(np.square(self.root).sum())


def gaussian(mean: Array, covariance: Array) -> Gaussian:
    """Return the normal distribution of a mean [D] and a symmetric covariance [D, D].

    Eigenvalues that are zero but for rounding are left out of the root.
    """
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(covariance)
    noise = max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    kept = values > noise
    return Gaussian(mean, np.sqrt(values[kept])[:, None] * vectors.T[kept])


def fitted(features: Pieces, name: str) -> Gaussian:
    """Return the sample mean and covariance (divided by n - 1) of a feature.

    With at most D images, the centred features themselves are the root; with more, the covariance
    is accumulated in a second pass.
    """
    mean = _mean(features, name)
    if len(features) <= len(mean):
        centred = np.concatenate([piece - mean for piece in features.pieces(name)])
        return Gaussian(mean, centred / np.sqrt(len(features) - 1))
    return gaussian(*moments(features, name))


def moments(features: Pieces, name: str) -> tuple[Array, Array]:
    """Return mean [D] and covariance [D, D] (divided by n - 1) of a feature."""
    mean = _mean(features, name)
    covariance = np.zeros((len(mean), len(mean)))
    for piece in features.pieces(name):
        covariance += (piece - mean).T @ (piece - mean)
    return mean, covariance / (len(features) - 1)


def _mean(features: Pieces, name: str) -> Array:
    total = sum(piece.sum(axis=0) for piece in features.pieces(name))
    return np.asarray(total / len(features))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Return the squared Frechet distance of two Gaussians (Dowson and Landau, 1982).

        |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2))

    The eigenvalues of C1 C2, with C1 = A'A and C2 = B'B, are those of (AB')(AB')', whose square
    roots are the singular values of AB'. This avoids the square root of a matrix that is nearly
    singular, as covariances of fewer images than features are.
    """
    import scipy.linalg

    product = one.root @ other.root.T
    # LAPACK refuses an empty matrix, which has no eigenvalues.
    shared = scipy.linalg.svdvals(product, overwrite_a=True).sum() if product.size else 0.0
    apart = float(np.square(one.mean - other.mean).sum())
    # Equal distributions may come out a rounding error below zero.
    return max(0.0, apart + one.variance + other.variance - 2 * float(shared))


def kernel_distance(one: Pieces, other: Pieces, name: str) -> float:
    """Return the unbiased estimate of the squared MMD with the kernel (x'y / D + 1)^3.

    Binkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs (2018). Every pair of images
    counts once; the usual mean over random subsets estimates the same number with more noise. Being
    unbiased it may be negative. Both sets need two images.
    """
    n, m = len(one), len(other)
    within = _kernel_sum(one, one, name, cubic, without_self=True) / (n * (n - 1))
    within += _kernel_sum(other, other, name, cubic, without_self=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(one, other, name, cubic) / (n * m)


def gaussian_mmd(one: Pieces, other: Pieces, name: str, sigma: float) -> float:
    """Return the biased estimate of the squared MMD with the kernel exp(-|x - y|^2 / 2 sigma^2).

    Gretton et al., A Kernel Two-Sample Test (2012), Eq. 5. It is 0 for equal sets.
    """

    def kernel(x: Array, y: Array) -> Array:
        squared = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
        return np.asarray(np.exp(-squared / (2 * sigma**2)))

    n, m = len(one), len(other)
    within = _kernel_sum(one, one, name, kernel) / n**2
    within += _kernel_sum(other, other, name, kernel) / m**2
    return within - 2 * _kernel_sum(one, other, name, kernel) / (n * m)


def cubic(x: Array, y: Array) -> Array:
    """Return the kernel (x'y / D + 1)^3 of features [n, D] and [m, D], [n, m]."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _kernel_sum(
    one: Pieces,
    other: Pieces,
    name: str,
    kernel: Callable[[Array, Array], Array],
    without_self: bool = False,
) -> float:
    """Sum a kernel over all pairs, optionally without the pairs of an image with itself."""
    total = 0.0
    for i, x in enumerate(one.pieces(name)):
        for j, y in enumerate(other.pieces(name)):
            values = kernel(x, y)
            if without_self and i == j:
                np.fill_diagonal(values, 0)
            total += float(values.sum())
    return total


def inception_score(features: FeatureTable, name: str, splits: int) -> float:
    """Return exp of the mean KL divergence of p(y|x) from p(y), averaged over splits.

    Salimans and others: Improved Techniques for Training GANs (2016). `name` are logits [C].
    """
    count = len(features)
    scores = []
    for split in range(splits):
        members = range(split * count // splits, (split + 1) * count // splits)
        logits = features.rows(name, members)
        logits = logits - logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        divergence = (p * (log_p - np.log(p.mean(axis=0)))).sum(axis=1)
        scores.append(float(np.exp(divergence.mean())))
    return float(np.mean(scores))
