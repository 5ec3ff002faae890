"""Precision and recall against torch-fidelity's own, and where the answer is known."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bench.metrics import find_measure
from bench.metrics.neighbours import covered
from bench.networks.torchvision_guard import import_torchvision

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Features in memory, so many at a time."""

    values: Array
    piece: int = 7

    def __len__(self) -> int:
        return len(self.values)

    def pieces(self, name: str) -> Iterator[Array]:
        for start in range(0, len(self.values), self.piece):
            yield self.values[start : start + self.piece]


def draw(count: int, shift: float = 0.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 5)) + shift


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5])
def test_equals_torch_fidelity(shift: float) -> None:
    import_torchvision()
    theirs: Any = importlib.import_module("torch_fidelity.metric_prc")
    results, originals = draw(90, shift, 1), draw(70)
    expected = theirs.calculate_precision_recall_full(
        torch.from_numpy(results), torch.from_numpy(originals)
    )
    ours = (
        covered(Rows(results), Rows(originals), "pooled"),
        covered(Rows(originals), Rows(results), "pooled"),
    )
    # Both are counts of images over their number; theirs is rounded to float32.
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert 0 < min(ours) < 1


def test_equal_sets_cover_each_other_and_far_ones_do_not() -> None:
    here = draw(30)
    assert covered(Rows(here), Rows(here.copy()), "pooled") == 1
    assert covered(Rows(here + 100), Rows(here), "pooled") == 0


def test_a_few_results_have_precision_without_recall() -> None:
    originals = draw(200)
    results = np.repeat(originals[:1], 20, axis=0) + 1e-3 * draw(20, seed=3)
    assert covered(Rows(results), Rows(originals), "pooled") == 1
    assert covered(Rows(originals), Rows(results), "pooled") < 0.05


def test_columns_say_what_they_count() -> None:
    precision, recall = find_measure("precision-vgg16"), find_measure("recall-vgg16")
    assert precision.higher_is_better
    assert recall.higher_is_better
    assert precision.key != recall.key
    assert "3 neighbours" in precision.identity
