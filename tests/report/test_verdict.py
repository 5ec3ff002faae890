"""Verdicts beside printed numbers."""

import pytest

from bench.report.statistics import Interval
from bench.report.verdict import Departure, Verdict, judge, rounding_of


@pytest.mark.parametrize(
    ("value", "interval", "printed", "verdict"),
    [
        # Without an interval the tolerance is the rounding.
        (22.855, None, "22.86", "match"),
        (22.865, None, "22.86", "match"),
        (22.8501, None, "22.86", "near"),
        (22.8699, None, "22.86", "near"),
        (22.849, None, "22.86", "off"),
        (22.8, None, "22.8", "match"),
        (22.8, None, "22.80", "match"),
        (22.84, None, "22.8", "match"),
        (22.84, None, "22.80", "off"),
        (90.4, None, "90", "match"),
        # With one, what reaches towards the printed number is added.
        (20.0, Interval(19.0, 20.5), "20.50", "match"),
        (20.0, Interval(19.0, 20.5), "20.90", "near"),
        (20.0, Interval(19.0, 20.5), "21.10", "off"),
        (20.0, Interval(19.0, 20.5), "19.00", "match"),
        (20.0, Interval(19.0, 20.5), "18.10", "near"),
        (20.0, Interval(19.0, 20.5), "17.90", "off"),
    ],
)
def test_verdicts(value: float, interval: Interval | None, printed: str, verdict: str) -> None:
    assert judge(value, interval, printed, ()).value == verdict


def test_what_differs_forbids_a_verdict_or_is_only_said() -> None:
    known, other = Departure("Fewer images.", comparable=True), Departure("Another prior.")
    assert judge(1.0, None, "1.0", (known,)) is Verdict.MATCH
    assert judge(1.0, None, "1.0", (known, other)) is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize(("printed", "rounding"), [("22.80", 0.005), ("3", 0.5), ("0.1401", 5e-5)])
def test_rounding_is_half_of_the_last_digit(printed: str, rounding: float) -> None:
    assert rounding_of(printed) == pytest.approx(rounding)
