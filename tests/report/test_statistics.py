"""Intervals, tests and effect sizes: against values worked out elsewhere, and in their limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.statistics import (
    Interval,
    around,
    holm,
    resampled_means,
    signed_rank,
    standings,
    standings_by_error,
)
from bench.report.tables.table import Cell, Column, Mark, Row, Table

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2)
FID = Column("fid", "FID", higher_is_better=False, digits=2, per="set")


def scores(
    methods: int, images: int, seed: int = 0
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Methods of falling quality on images that differ a hundred times as much."""
    random = np.random.default_rng(seed)
    hard = random.normal(0, 100, images)
    made = 1000 + hard - np.arange(methods)[:, None] + random.normal(0, 1, (methods, images))
    return np.asarray(made, dtype=np.float64)


def test_holm_is_as_in_the_textbook() -> None:
    # 0.01 x 4; 0.015 x 3 = 0.045; 0.03 x 2 = 0.06; 0.04 x 1, not below the one before it.
    assert holm([0.03, 0.01, 0.04, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= 1
        assert q <= max(min(1, len(p_values) * p), max(corrected))
    pairs = sorted(zip(p_values, corrected, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_the_signed_rank_test_by_hand() -> None:
    # Differences 1, 2, 3, 4, -5: of the 32 equally likely signs of ranks, W- is 5 or less for 10.
    one = np.array([1.0, 2.0, 3.0, 4.0, 0.0])
    other = np.array([0.0, 0.0, 0.0, 0.0, 5.0])
    p_value, effect = signed_rank(one, other)
    assert p_value == pytest.approx(2 * 10 / 32)
    assert effect == pytest.approx((1 + 2 + 3 + 4 - 5) / 15)


def test_equal_pairs_take_no_part() -> None:
    one, same = np.array([1.0, 2.0, 3.0, 7.0]), np.array([1.0, 2.0, 3.0, 6.0])
    assert signed_rank(one, one) == (1.0, 0.0)
    assert signed_rank(one, same)[1] == 1.0


def test_an_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, (1, 400))
    (standing,) = standings(values, higher_is_better=True)
    assert standing.interval is not None
    half = 1.96 * values.std(ddof=1) / 20
    # Of 2000 resamples the ends scatter by a few per cent of the half width.
    assert standing.interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert standing.interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_cover_95_percent() -> None:
    random = np.random.default_rng(2)
    found = standings(random.normal(3, 1, (300, 60))[:40], higher_is_better=True)
    found += standings(random.exponential(3, (40, 60)), higher_is_better=True)
    covered = sum(s.interval is not None and s.interval.low <= 3 <= s.interval.high for s in found)
    # 80 intervals, 76 expected, and the percentile's are a little short: 68 is four deviations off.
    assert 68 <= covered < 80


def test_methods_are_resampled_together() -> None:
    """How hard images are takes no part in a difference, though it does in each mean."""
    first, second = standings(scores(2, 200), higher_is_better=True)
    assert first.interval is not None
    assert second.gap is not None
    assert first.interval.high - first.interval.low > 20
    assert second.gap.high - second.gap.low < 1
    assert second.gap.low < 1 < second.gap.high
    means = resampled_means(scores(2, 200))
    one, other = means.T
    assert float(np.asarray(np.corrcoef(one, other))[0, 1]) > 0.999


def test_the_same_scores_give_the_same_intervals() -> None:
    assert standings(scores(3, 50), True) == standings(scores(3, 50), True)


def test_direction_and_order_decide_nothing_but_the_sign() -> None:
    made = scores(3, 50)
    higher, lower = standings(made, higher_is_better=True), standings(-made, higher_is_better=False)
    for one, other in zip(higher, lower, strict=True):
        assert (one.p_value, one.effect) == (other.p_value, other.effect)
        assert one.gap == other.gap
    backwards = standings(made[::-1], higher_is_better=True)[::-1]
    assert [s.effect for s in backwards] == [s.effect for s in higher]
    assert higher[0].p_value is None
    effects = [s.effect for s in higher[1:]]
    assert effects[0] is not None
    assert effects[1] is not None
    assert 0 < effects[0] < effects[1] <= 1


def test_one_image_tells_nothing() -> None:
    assert [s.interval for s in standings(np.array([[1.0], [2.0]]), True)] == [None, None]


def column(column: Column, *rows: Row) -> list[Cell]:
    table = Table("set", 8, 40, 0, (column,), rows)
    return [line[0] for line in table.cells]


def rows_of(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[Row]:
    return [
        Row(f"m{i}", f"M{i}", {"psnr": {f"{j:03}": float(v) for j, v in enumerate(of)}}, len(of))
        for i, of in enumerate(values)
    ]


def test_a_tie_is_what_the_data_can_not_separate_from_the_best() -> None:
    made = scores(3, 40)
    made[1] = made[0] - 0.01 + np.random.default_rng(3).normal(0, 1, 40)
    made[2] = made[0] - 2 + np.random.default_rng(4).normal(0, 1, 40)
    best, alike, worse = sorted(column(PSNR, *rows_of(made)), key=lambda c: -(c.value or 0))
    assert (best.mark, best.tied, best.p_value) == (Mark.BEST, False, None)
    assert (alike.mark, alike.tied) == (Mark.SECOND, True)
    assert not worse.tied
    assert worse.p_value is not None
    assert worse.p_value < 0.001


def test_p_values_are_corrected_for_all_pairs() -> None:
    made = scores(2, 30)
    alone = column(PSNR, *rows_of(made))[1].p_value
    others = np.vstack([made, made[1] + np.random.default_rng(5).normal(0, 1, (3, 30))])
    among = column(PSNR, *rows_of(others))[1].p_value
    assert alone is not None
    assert among is not None
    assert among > alone


def test_a_row_without_finite_values_takes_no_part() -> None:
    same = {str(i): math.inf for i in range(9)}
    first, second, absent = column(
        PSNR, *rows_of(scores(2, 9))[:1], Row("inf", "Inf", {"psnr": same}, 9), Row("b", "B", {}, 0)
    )
    assert first.interval is None  # no image in common by name
    assert (second.interval, second.p_value, absent.interval) == (None, None, None)


def whole(name: str, value: float, error: float | None) -> Row:
    errors = {} if error is None else {"fid": error}
    return Row(name, name, {}, 40, whole={"fid": value}, errors=errors)


def test_values_of_sets_are_separated_by_their_errors() -> None:
    best, alike, worse = column(
        FID, whole("a", 20.0, 1.0), whole("b", 21.0, 1.0), whole("c", 40.0, 1.0)
    )
    assert best.interval is not None
    assert (best.interval.low, best.interval.high) == pytest.approx((18.04, 21.96), abs=0.01)
    assert alike.tied
    # 1 / sqrt(2) deviations, two-sided; the largest p of three is multiplied by one.
    assert alike.p_value == pytest.approx(0.4795, abs=1e-4)
    assert not worse.tied


def test_beside_a_value_without_an_error_nothing_is_separated() -> None:
    known, alike, unknown = column(
        FID, whole("a", 20.0, 1.0), whole("b", 21.0, 1.0), whole("c", 9.0, None)
    )
    assert known.interval is not None
    assert alike.interval is not None
    assert (unknown.mark, unknown.interval) == (Mark.BEST, None)
    assert [cell.p_value for cell in (known, alike, unknown)] == [None, None, None]


def test_errors_of_zero_separate_all_but_equals() -> None:
    same, equal, other = standings_by_error([1.0, 1.0, 2.0], [0.0, 0.0, 0.0], False)
    assert (same.p_value, equal.p_value, other.p_value) == (None, 1.0, 0.0)
    assert around(1.0, 0.0) == Interval(1.0, 1.0)
