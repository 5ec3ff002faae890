"""Statistics of means over images: confidence intervals and tests. Pure.

All methods of a metric are resampled with the same images each time, so that the difficulty of an
image cancels in their differences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

SIGNIFICANT = 0.05  # intervals cover 95 %
RESAMPLES = 2000
_SEED = 0
_NORMAL = 1.959963984540054  # the normal distribution's 97.5 % quantile
_SMALLEST = 2  # images, for an interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Closed interval from `low` to `high`; 95 % unless stated otherwise."""

    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Comparison of one method with the best one.

    The 95 % intervals under resampling of the images: `interval` covers the value, `gap` the
    margin of the best method on the same images. `p_value` tests whether the two are alike
    (Wilcoxon's signed-rank test on images, a z-test on set metrics), corrected by Holm for all
    pairs of methods. `effect` is the matched-pairs rank-biserial correlation: 1 if the best method
    is better on every image, 0 if wins and losses balance. None means undefined; the best method
    has only `interval`.
    """

    interval: Interval | None = None
    gap: Interval | None = None
    p_value: float | None = None
    effect: float | None = None


@dataclass(frozen=True)
class Paired:
    """Mean paired difference, with interval and test.

    `interval` covers the difference, `p_value` is Wilcoxon's without correction, and `effect` is
    the rank-biserial correlation, 1 if all differences are positive. None if there are too few
    pairs.
    """

    difference: float
    interval: Interval | None = None
    p_value: float | None = None
    effect: float | None = None


def paired(one: Array, other: Array) -> Paired:
    """Compare `other` with `one`: scores [N] of the same images, all finite, N > 0."""
    differences = other - one
    mean = float(differences.mean())
    if len(differences) < _SMALLEST:
        return Paired(mean)
    interval = _percentiles(resampled_means(differences[np.newaxis])[:, 0])
    return Paired(mean, interval, *signed_rank(other, one))


def standings(scores: Array, higher_is_better: bool) -> list[Standing]:
    """Compare methods [M, N images], all finite, with the one of the best mean.

    Intervals are percentiles of the means over resampled images (Efron and Tibshirani: An
    Introduction to the Bootstrap, 1993); p values are those of Wilcoxon's signed-rank test.
    """
    if scores.shape[1] < _SMALLEST:
        return [Standing()] * len(scores)
    means = resampled_means(scores)
    order = np.argsort(scores.mean(axis=1), kind="stable")
    best = int(order[-1 if higher_is_better else 0])
    sign = 1 if higher_is_better else -1
    pairs = list(combinations(range(len(scores)), 2))
    found = {pair: signed_rank(*(scores[i] for i in pair)) for pair in pairs}
    corrected = dict(zip(pairs, holm([p for p, _ in found.values()]), strict=True))
    made = []
    for method in range(len(scores)):
        interval = _percentiles(means[:, method])
        if method == best:
            made.append(Standing(interval))
            continue
        pair = min(best, method), max(best, method)
        effect = found[pair][1] * sign * (1 if pair[0] == best else -1)
        gap = _percentiles(sign * (means[:, best] - means[:, method]))
        made.append(Standing(interval, gap, corrected[pair], effect))
    return made


def standings_by_error(
    values: Sequence[float], errors: Sequence[float], higher_is_better: bool
) -> list[Standing]:
    """Compare values with standard errors, such as set metrics, with the best one.

    Intervals and tests assume normal distributions and ignore that the methods restored the same
    images, so a difference must be larger to be significant.
    """
    best = (max if higher_is_better else min)(range(len(values)), key=lambda i: values[i])
    pairs = list(combinations(range(len(values)), 2))
    p_values = [
        _normal_p(values[i] - values[j], math.hypot(errors[i], errors[j])) for i, j in pairs
    ]
    corrected = dict(zip(pairs, holm(p_values), strict=True))
    sign = 1 if higher_is_better else -1
    made = []
    for i, (value, error) in enumerate(zip(values, errors, strict=True)):
        interval = around(value, error)
        if i == best:
            made.append(Standing(interval))
            continue
        gap = around(sign * (values[best] - value), math.hypot(error, errors[best]))
        made.append(Standing(interval, gap, corrected[min(best, i), max(best, i)]))
    return made


def around(value: float, error: float) -> Interval:
    """Return the 95 % interval of a value with a standard error, assuming a normal distribution."""
    return Interval(value - _NORMAL * error, value + _NORMAL * error)


def resampled_means(scores: Array) -> Array:
    """Return bootstrap means with images shared by all methods: [M, N] to [R, M]."""
    count = scores.shape[1]
    return np.asarray(_counts(count) @ scores.T / count)


def signed_rank(one: Array, other: Array) -> tuple[float, float]:
    """Return Wilcoxon's two-sided p-value of paired scores [N], and rank-biserial correlation.

    The correlation (Kerby: The Simple Difference Formula, 2014) is 1 where `one` is larger
    throughout. Equal pairs are dropped; if none remain, p is 1 and the correlation 0.
    """
    from scipy.stats import rankdata, wilcoxon

    differences = one - other
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0, 0.0
    ranks = rankdata(np.abs(differences))
    correlation = float((np.sign(differences) * ranks).sum() / ranks.sum())
    return float(wilcoxon(differences).pvalue), correlation


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple testing (Holm 1979).

    Multiply the smallest p-value by their number, the next by one less, and so on, keeping the
    results monotone and at most 1.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


@lru_cache(maxsize=4)
def _counts(images: int) -> Array:
    """Return how often each image is drawn in each resample, [R, N]."""
    random = np.random.default_rng(_SEED)
    drawn = random.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    return drawn.astype(np.float64)


def _percentiles(values: Array) -> Interval:
    low, high = np.quantile(values, (SIGNIFICANT / 2, 1 - SIGNIFICANT / 2))
    return Interval(float(low), float(high))


def _normal_p(difference: float, spread: float) -> float:
    """Return the two-sided p-value of a z-test."""
    if difference == 0:
        return 1.0
    return math.erfc(abs(difference) / spread / math.sqrt(2)) if spread else 0.0
