"""Agreement of our values with published ones, and reasons against comparing. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from bench.report.statistics import Interval


class Verdict(Enum):
    """Agreement with the published value.

    MATCH: within the tolerance. NEAR: within twice the tolerance. OFF: further away.
    NOT_COMPARABLE: the two measure different things.
    """

    MATCH = "match"
    NEAR = "near"
    OFF = "off"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Departure:
    """A condition, as a sentence, in which our measurement differs from the published one.

    `comparable` is True if the two values may still be compared.
    """

    text: str
    comparable: bool = False


def judge(
    value: float, interval: Interval | None, printed: str, departures: Sequence[Departure]
) -> Verdict:
    """Return the agreement of a value with a published number.

    The tolerance is half a unit of the last printed digit, for rounding, plus the extent of our
    interval on that side, if there is one, for the choice of images.
    """
    if not all(departure.comparable for departure in departures):
        return Verdict.NOT_COMPARABLE
    difference = float(printed) - value
    reach = 0.0
    if interval is not None:
        reach = interval.high - value if difference > 0 else value - interval.low
    # Half a unit of the last digit is met exactly in print, and missed by an ulp in binary.
    tolerance = rounding_of(printed) * (1 + 1e-9) + max(reach, 0.0)
    if abs(difference) <= tolerance:
        return Verdict.MATCH
    return Verdict.NEAR if abs(difference) <= 2 * tolerance else Verdict.OFF


def rounding_of(printed: str) -> float:
    """Return half a unit of the last printed digit: 0.005 for "22.80"."""
    exponent = Decimal(printed).as_tuple().exponent
    assert isinstance(exponent, int)  # papers print neither infinity nor NaN
    return 0.5 * 10.0**exponent
