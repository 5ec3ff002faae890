"""Standard errors of FID and KID by resampling images.

Random halves of the images, each image with its original, are drawn repeatedly, and the metric is
computed on each half. As halves are drawn without replacement, their spread is the standard error
for all images (the delete-d jackknife: Shao and Wu, A General Theory for Jackknife Variance
Estimation, 1989). The bootstrap is unsuitable: FID depends on the number of distinct images, which
changes from draw to draw. On simulated features with a known error, the bootstrap gave 1.1 to 4
times the true error, halves 0.9 to 1.8 times.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.metrics.sets.distributions import Array, Gaussian, Pieces, cubic

Indices = npt.NDArray[np.int64]
Statistic = Callable[[Indices], float]
"""Maps indices of some images to the statistic of these."""

RESAMPLES = 100  # the error itself is then known to 7 %
_SEED = 0


def standard_error(statistic: Statistic, images: int) -> float:
    """Estimate a standard error by half-sampling, with equal halves for equal image counts."""
    random = np.random.default_rng(_SEED)
    halves = [random.permutation(images)[: images // 2] for _ in range(RESAMPLES)]
    drawn, left = images // 2, images - images // 2
    return float(np.std([statistic(half) for half in halves], ddof=1) * np.sqrt(drawn / left))


def frechet_statistic(x: Array, y: Array) -> Statistic:
    """Frechet distances of parts of features [N, D]; row i of both is of one image.

    With centred rows for roots A and B of the covariances, see `distributions.frechet_distance`,
    AB' is X Y' less the means of its rows and columns: one product serves all parts.
    """
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    products = x @ y.T

    def distance(part: Indices) -> float:
        import scipy.linalg

        product = products[np.ix_(part, part)]
        product = product - product.mean(axis=0) - product.mean(axis=1)[:, None] + product.mean()
        shared = scipy.linalg.svdvals(product).sum() / (len(part) - 1)
        apart = x[part].mean(axis=0) - y[part].mean(axis=0)
        variances = (table[part].var(axis=0, ddof=1).sum() for table in (x, y))
        return float(np.square(apart).sum() + sum(variances) - 2 * shared)

    return distance


def frechet_to(x: Array, other: Gaussian) -> Statistic:
    """Frechet distances of parts of features [N, D] to one Gaussian, see `frechet_statistic`."""
    x = x - other.mean
    products = x @ other.root.T

    def distance(part: Indices) -> float:
        import scipy.linalg

        product = products[part] - products[part].mean(axis=0)
        shared = scipy.linalg.svdvals(product).sum() / np.sqrt(len(part) - 1)
        apart = x[part].mean(axis=0)
        variance = x[part].var(axis=0, ddof=1).sum() + other.variance
        return float(np.square(apart).sum() + variance - 2 * shared)

    return distance


def kernel_statistic(x: Array, y: Array) -> Statistic:
    """Squared maximum mean discrepancies of parts, see `distributions.kernel_distance`."""
    within, between = cubic(x, x) + cubic(y, y), cubic(x, y)
    np.fill_diagonal(within, 0)

    def distance(part: Indices) -> float:
        count, chosen = len(part), np.ix_(part, part)
        of_pairs = within[chosen].sum() / (count * (count - 1))
        return float(of_pairs - 2 * between[chosen].mean())

    return distance


def kernel_to(x: Array, other: Pieces) -> Statistic:
    """Squared maximum mean discrepancies of parts of features [N, D] to one set.

    Less the part within that set, which is the same for all parts.
    """
    within = cubic(x, x)
    np.fill_diagonal(within, 0)
    sums = sum(cubic(x, y).sum(axis=1) for y in other.pieces("pooled"))
    to_set = np.asarray(sums) / len(other)

    def distance(part: Indices) -> float:
        count = len(part)
        of_pairs = within[np.ix_(part, part)].sum() / (count * (count - 1))
        return float(of_pairs - 2 * to_set[part].mean())

    return distance
