"""Types of settings shared by methods, with limits.

A setting's type says which values are valid: `eta: Fraction`, `omega: PositiveFloat`, or
`range_t: Annotated[int, Ge(0)]` with `annotated_types`. `bench.core.validation` checks what users
write before anything runs. Checks that need more than the value itself are functions here.
"""

import dataclasses
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Interval

from bench.core.errors import BenchError, WrongUsage
from bench.core.validation import Finite, Positive
from bench.diffusion.schedule import Schedule

TRAINING_STEPS = 1000
"""Steps of the training schedule of every prior."""

Steps = Annotated[int, Interval(ge=1, le=TRAINING_STEPS)]
"""Number of sampling steps."""

Fraction = Annotated[float, Interval(ge=0, le=1)]
PositiveFraction = Annotated[float, Interval(gt=0, le=1)]
NotNegative = Annotated[Finite, Ge(0)]
PositiveFloat = Annotated[Finite, Gt(0)]

_DIVIDES_SIZE = "divides the size of the results"
Divisor = Annotated[Positive, _DIVIDES_SIZE]
"""A downscaling factor that must divide the size of results."""


def check_divisors(settings: Any, size: int, where: str) -> None:
    """Check that every setting of type `Divisor` divides the size of the results.

    Raises:
        WrongUsage: a setting does not divide the size; `where` names the place of the settings.
    """
    hints = get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if _DIVIDES_SIZE in get_args(hints[field.name]) and size % value:
            raise WrongUsage(
                f"{where}.{field.name} is {value}, but must divide the size of the results, "
                f"{size} px."
            )


def check_spacing(steps: int, spacing: str, where: str) -> None:
    """Check that the prior's schedule can be respaced to this number of steps.

    Raises:
        WrongUsage: an impossible number of steps; `where` names the place of the settings.
    """
    try:
        Schedule.linear(TRAINING_STEPS).respaced(steps, spacing)
    except BenchError as error:
        raise WrongUsage(f"{where}.steps is {steps}: {error}") from None
