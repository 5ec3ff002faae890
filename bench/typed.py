"""Frozen dataclasses from what users write (TOML, JSON, options), refused with a way out.

Unknown keys are errors that name the nearest known one; values are checked against the field's
type, and its `Range`, and never converted, but for whole numbers where a float is wanted.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.errors import BenchError, WrongUsage

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Range:
    """What a number can be, written into its type: `Annotated[float, Range(0, 1)]`.

    From `least` to `most`, both included, or greater than `above`; infinity is in no range.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None

    def has(self, value: float) -> bool:
        """Whether a number is in it."""
        return (
            abs(value) < math.inf  # which math.isfinite can't say of an int beyond all floats
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"between {self.least} and {self.most}"
        limits = {"above": self.above, "at least": self.least, "at most": self.most}
        return " and ".join(f"{word} {at}" for word, at in limits.items() if at is not None)


Positive = Annotated[int, Range(1)]


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass from a mapping; `where` names its place in messages.

    Raises:
        WrongUsage: an unknown or missing key, or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = _hints(cls)  # type: ignore[arg-type]
    checked = {}
    for key, value in values.items():
        if key not in fields:
            raise WrongUsage(_unknown(key, list(fields), where))
        checked[key] = _check(hints[key], value, f"{where}.{key}")
    for name, field in fields.items():
        if (
            name not in checked
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            raise WrongUsage(f"{where} lacks {name!r}.")
    return cls(**checked)


def read_back(cls: type[T], values: Any, where: str) -> T:
    """`build` from what bench wrote itself, where a mismatch is no fault of the user's.

    Raises:
        BenchError: the file is damaged, or another version's.
    """
    try:
        if isinstance(values, Mapping):
            return build(cls, values, where)
        reason = "it is no table."
    except WrongUsage as error:
        reason = str(error)
    raise BenchError(f"{where} is damaged, or another version's: {reason}")


def override(instance: T, values: Mapping[str, Any], where: str) -> T:
    """A copy of a dataclass instance with some fields replaced, checked as `build` does."""
    current = {f.name: getattr(instance, f.name) for f in dataclasses.fields(instance)}  # type: ignore[arg-type]
    for key in values:
        if key not in current:
            raise WrongUsage(_unknown(key, list(current), where))
    hints = _hints(type(instance))  # type: ignore[arg-type]
    checked = {k: _check(hints[k], v, f"{where}.{k}") for k, v in values.items()}
    return dataclasses.replace(instance, **checked)  # type: ignore[type-var]


@lru_cache
def _hints(cls: type) -> dict[str, Any]:
    """The types of a class's fields; to resolve them anew for each of many records takes long."""
    return get_type_hints(cls, include_extras=True)


def _unknown(key: str, known: list[str], where: str) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}."
    return f"{where} has no {key!r}: {hint}"


def _check(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return build(hint, value, where)
    elif origin is Annotated:
        number = _check(arguments[0], value, where)
        for limit in arguments[1:]:
            if isinstance(limit, Range) and not limit.has(number):
                wanted = limit if abs(number) < math.inf else "finite"
                raise WrongUsage(f"{where} is {value!r}, but must be {wanted}.")
        return number
    elif origin is Literal:
        if value in arguments:
            return value
        raise WrongUsage(f"{where} is {value!r}: choose {' or '.join(map(repr, arguments))}.")
    elif origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        *others, last = (a for a in arguments if a is not type(None))
        for other in others:
            try:
                return _check(other, value, where)
            except WrongUsage:
                continue
        return _check(last, value, where)
    elif origin is tuple:
        if isinstance(value, list | tuple):
            of = [arguments[0]] * len(value) if arguments[1:] == (...,) else list(arguments)
            if len(of) == len(value):
                return tuple(_check(a, v, where) for a, v in zip(of, value, strict=True))
    elif origin in (dict, Mapping):
        if isinstance(value, Mapping):
            return {k: _check(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, hint):
        return value
    raise WrongUsage(f"{where} is {value!r}, but must be {_describe(hint)}.")


def _describe(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if hint in names:
        return names[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _describe(arguments[0])
    if origin is tuple:
        count = "" if arguments[1:] == (...,) else f"{len(arguments)} "
        return f"a list of {count}values, each {_describe(arguments[0])}"
    return "a table"
