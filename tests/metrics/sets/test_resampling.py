"""Standard errors of FID and KID: of the right statistic, and near the truth where it is known."""

import numpy as np
import pytest

from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.features.extractor import Features
from bench.metrics.sets.distributions import Array, fitted, frechet_distance, kernel_distance
from bench.metrics.sets.resampling import (
    Statistic,
    frechet_statistic,
    kernel_statistic,
    standard_error,
)


class Given(FeatureCache):
    """Rows of an array, by their number."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows

    def read(self, extractor: str, picture: str) -> Features:
        return {"x": self.rows[int(picture)]}


def table(rows: Array) -> FeatureTable:
    return FeatureTable(Given(rows), "", tuple(map(str, range(len(rows)))))


def frechet(x: Array, y: Array) -> float:
    return frechet_distance(fitted(table(x), "x"), fitted(table(y), "x"))


def kernel(x: Array, y: Array) -> float:
    return kernel_distance(table(x), table(y), "x")


def pairs(seed: int, images: int = 60, width: int = 8) -> tuple[Array, Array]:
    """Features of originals and of what restoring left of them."""
    random = np.random.default_rng(seed)
    y = np.abs(random.standard_normal((images, width)))
    return 0.7 * y + 0.3 * np.abs(random.standard_normal((images, width))) + 0.1, y


@pytest.mark.parametrize("width", [8, 100])  # fewer and more than pictures
def test_parts_have_the_values_of_the_metrics(width: int) -> None:
    x, y = pairs(0, width=width)
    part = np.random.default_rng(1).permutation(60)[:30]
    assert frechet_statistic(x, y)(part) == pytest.approx(frechet(x[part], y[part]), rel=1e-9)
    assert kernel_statistic(x, y)(part) == pytest.approx(kernel(x[part], y[part]), rel=1e-9)


@pytest.mark.parametrize("statistic", [frechet_statistic, kernel_statistic])
def test_the_error_is_the_scatter_over_choices_of_images(statistic: object) -> None:
    metric = frechet if statistic is frechet_statistic else kernel
    truth = np.std([metric(*pairs(seed)) for seed in range(200)], ddof=1)
    found = [standard_error(statistic(*pairs(seed)), 60) for seed in range(20)]  # type: ignore[operator]
    # It came out 1.03 and 1.28 times the truth.
    assert np.median(found) == pytest.approx(truth, rel=0.35)


def test_of_a_mean_it_is_the_textbook_s() -> None:
    values = np.random.default_rng(0).standard_normal(400)

    def mean(part: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
        return float(values[part].mean())

    of: Statistic = mean
    # Known to 7 %, by the number of resamples.
    assert standard_error(of, 400) == pytest.approx(values.std(ddof=1) / 20, rel=0.25)
    odd = standard_error(lambda part: float(values[part].mean()), 5)
    assert odd == pytest.approx(values[:5].std(ddof=1) / 5**0.5, rel=0.25)


def test_every_method_has_the_same_images_drawn() -> None:
    drawn: list[list[int]] = []
    for _ in range(2):
        parts: list[int] = []
        standard_error(lambda part, parts=parts: parts.extend(part.tolist()) or 0.0, 10)  # type: ignore[misc]
        drawn.append(parts)
    assert drawn[0] == drawn[1]
