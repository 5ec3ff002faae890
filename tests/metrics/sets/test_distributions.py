"""FID, KID and IS as arithmetic: closed forms, two other implementations, and laws."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.sets.distributions import (
    Array,
    fitted,
    frechet_distance,
    gaussian,
    inception_score,
    kernel_distance,
)
from bench.networks.torchvision_guard import import_torchvision

import_torchvision()


class Given:
    """Rows of an array in the place of a cache."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows

    def read(self, extractor: str, picture: str) -> dict[str, Array]:
        return {"x": self.rows[int(picture)]}


def table(rows: Array, order: Sequence[int] | None = None) -> FeatureTable:
    pictures = tuple(str(i) for i in (range(len(rows)) if order is None else order))
    return FeatureTable(cast("FeatureCache", Given(rows)), "", pictures)


def draws(count: int, width: int, seed: int, shift: float = 0.0) -> Array:
    """Features that are correlated, positive and of unlike sizes, as those of networks are."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((width, width)) / math.sqrt(width)
    spread = np.exp(-np.arange(width) / width * 4)
    return np.abs(random.standard_normal((count, width)) @ mixing * spread + shift)


def distance(one: Array, other: Array) -> float:
    return frechet_distance(fitted(table(one), "x"), fitted(table(other), "x"))


@pytest.fixture(params=[(40, 96), (300, 64)], ids=["fewer pictures than features", "more"])
def sets(request: pytest.FixtureRequest) -> tuple[Array, Array]:
    count, width = request.param
    return draws(count, width, 0), draws(count + 7, width, 1, shift=0.3)


def test_equals_torch_fidelity(sets: tuple[Array, Array]) -> None:
    module: Any = __import__("torch_fidelity.metric_fid", fromlist=["x"])
    stats = [module.fid_features_to_statistics(torch.from_numpy(rows)) for rows in sets]
    expected = module.fid_statistics_to_metric(*stats, verbose=False)
    assert distance(*sets) == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # clean-fid's call
def test_equals_clean_fid() -> None:
    module: Any = __import__("cleanfid.fid", fromlist=["x"])
    one, other = draws(300, 64, 0), draws(307, 64, 1, shift=0.3)
    assert distance(one, other) == pytest.approx(module.fid_from_feats(one, other), rel=1e-6)


def test_from_covariances_as_from_features(sets: tuple[Array, Array]) -> None:
    one, other = (gaussian(rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in sets)
    # Roots of singular covariances lack directions that only rounding gave them.
    assert frechet_distance(one, other) == pytest.approx(distance(*sets), rel=1e-9)


def test_equal_covariances_leave_the_distance_of_the_means() -> None:
    rows = draws(50, 20, 3)
    shift = np.arange(20) / 10
    assert distance(rows, rows + shift) == pytest.approx(float(shift @ shift), rel=1e-12)


def test_diagonal_covariances_have_a_closed_form() -> None:
    random = np.random.default_rng(0)
    one, other = (random.uniform(0.1, 2, 30) for _ in range(2))
    means = random.standard_normal((2, 30))
    found = frechet_distance(
        gaussian(means[0], np.diag(one**2)), gaussian(means[1], np.diag(other**2))
    )
    expected = ((means[0] - means[1]) ** 2).sum() + ((one - other) ** 2).sum()
    assert found == pytest.approx(expected, rel=1e-12)


def test_identical_sets_are_at_no_distance(sets: tuple[Array, Array]) -> None:
    # 2e-16 of the variance, once for each of up to 300 terms.
    assert distance(sets[0], sets[0]) < 1e-12 * float(sets[0].var(axis=0).sum()) + 1e-12


def test_sets_of_equal_pictures_have_no_covariance() -> None:
    one, other = np.full((2, 3), 1.0), np.full((2, 3), 2.0)
    assert distance(one, other) == pytest.approx(3.0)
    assert frechet_distance(gaussian(one[0], np.zeros((3, 3))), fitted(table(other), "x")) == 3.0


def test_reading_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = draws(70, 16, 0), draws(50, 16, 1)
    whole = distance(one, other), kernel_distance(table(one), table(other), "x")
    monkeypatch.setattr("bench.metrics.features.cache._ROWS", 16)
    pieces = distance(one, other), kernel_distance(table(one), table(other), "x")
    assert pieces == pytest.approx(whole, rel=1e-12)


features = st.integers(0, 2**32 - 1).map(lambda seed: draws(12, 6, seed))


@settings(max_examples=30, deadline=None)
@given(features, features, st.permutations(range(12)))
def test_laws(one: Array, other: Array, order: list[int]) -> None:
    there = distance(one, other)
    scale = float(one.var() + other.var())
    assert there >= 0
    assert distance(other, one) == pytest.approx(there, rel=1e-9, abs=1e-12 * scale)
    shuffled = fitted(table(one, order), "x")
    assert frechet_distance(shuffled, fitted(table(other), "x")) == pytest.approx(
        there, rel=1e-9, abs=1e-12 * scale
    )
    near = kernel_distance(table(one), table(other), "x")
    assert kernel_distance(table(other), table(one), "x") == pytest.approx(near, abs=1e-12)
    assert kernel_distance(table(one, order), table(other), "x") == pytest.approx(near, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_more_noise_is_further_away(seed: int) -> None:
    rows = draws(60, 8, seed)
    noise = np.random.default_rng(seed + 1).standard_normal(rows.shape)
    distances = [distance(rows, rows + level * noise) for level in (0, 0.5, 1, 2, 4)]
    assert distances == sorted(distances)
    kernels = [
        kernel_distance(table(rows), table(rows + level * noise), "x") for level in (1, 2, 4)
    ]
    assert kernels == sorted(kernels)


def test_kernel_distance_equals_torch_fidelity_and_clean_fid() -> None:
    one, other = draws(90, 32, 0), draws(90, 32, 1, shift=0.1)
    found = kernel_distance(table(one), table(other), "x")
    fidelity: Any = __import__("torch_fidelity.metric_kid", fromlist=["x"])
    options = {"kid_subsets": 1, "kid_subset_size": 90, "verbose": False}
    expected = fidelity.kid_features_to_metric(
        torch.from_numpy(one), torch.from_numpy(other), **options
    )
    assert found == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6)
    clean: Any = __import__("cleanfid.fid", fromlist=["x"])
    assert found == pytest.approx(clean.kernel_distance(one, other, num_subsets=1), rel=1e-6)


def test_kernel_distance_is_unbiased() -> None:
    """The mean over draws from one distribution is zero within its standard error."""
    random = np.random.default_rng(0)
    found = [
        kernel_distance(
            table(random.standard_normal((10, 4))), table(random.standard_normal((7, 4))), "x"
        )
        for _ in range(400)
    ]
    error = float(np.std(found)) / math.sqrt(len(found))
    assert abs(float(np.mean(found))) < 3 * error  # 99.7 of 100 seeds; this one is fixed
    assert min(found) < 0 < max(found)


def test_two_identical_pictures_have_a_kernel_distance() -> None:
    twice = np.tile(draws(1, 5, 0), (2, 1))
    assert kernel_distance(table(twice), table(twice), "x") == pytest.approx(0, abs=1e-12)


def test_inception_score_equals_torch_fidelity() -> None:
    logits = draws(53, 20, 0) * 4
    module: Any = __import__("torch_fidelity.metric_isc", fromlist=["x"])
    expected = module.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    found = inception_score(table(logits), "x", 10)
    assert found == pytest.approx(expected["inception_score_mean"], rel=1e-9)


def test_inception_score_has_its_extremes() -> None:
    sure = np.eye(5)[np.arange(50) % 5] * 1000
    assert inception_score(table(sure), "x", 10) == pytest.approx(5)
    assert inception_score(table(np.ones((50, 5))), "x", 10) == pytest.approx(1)
