"""Kinds of settings that methods share, and what they can be.

A setting's type says what it can be: `eta: Fraction`, or `omega: Annotated[float, Range(above=0)]`.
What a user writes is held to it (`bench.typed`) before anything is run. What takes more than the
value itself is checked here.
"""

import dataclasses
from typing import Annotated, Any, get_args, get_type_hints

from bench.diffusion.schedule import Schedule
from bench.errors import BenchError, WrongUsage
from bench.typed import Positive, Range

TRAINING_STEPS = 1000
"""Of the schedule that every prior was trained on."""

Steps = Annotated[int, Range(1, TRAINING_STEPS)]
"""How many of them are taken."""

Fraction = Annotated[float, Range(0, 1)]
NotNegative = Annotated[float, Range(0)]

_DIVIDES_SIZE = "divides the size of the results"
Divisor = Annotated[Positive, _DIVIDES_SIZE]
"""A factor by which results are reduced."""


def check_divisors(settings: Any, size: int, where: str) -> None:
    """Whether the settings that are a `Divisor` divide the size of the results.

    Raises:
        WrongUsage: one does not; `where` names the place of all.
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
    """Whether so many steps of a prior's schedule can be taken at a spacing.

    Raises:
        WrongUsage: they can't; `where` names the place of the settings.
    """
    try:
        Schedule.linear(TRAINING_STEPS).respaced(steps, spacing)
    except BenchError as error:
        raise WrongUsage(f"{where}.steps is {steps}: {error}") from None
