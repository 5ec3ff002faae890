"""Validation of user input (TOML, JSON, options) into frozen dataclasses, by pydantic.

Values are checked as strict JSON: nothing is converted but whole numbers to floats, and unknown
keys are refused with the nearest known one. Limits are written into types with `annotated_types`.
"""

import dataclasses
import json
import math
import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Predicate

from bench.core.errors import BenchError, WrongUsage
from bench.core.suggest import suggestion

if TYPE_CHECKING:  # pydantic takes 0.2 s to import, which `bench --help` need not wait for
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")

Positive = Annotated[int, Ge(1)]
Finite = Annotated[float, Predicate(math.isfinite)]

_LIMITS = {"gt": "above", "ge": "at least", "le": "at most", "lt": "below"}
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "string": "a string",
    "bool": "true or false",
    "dict": "a table",
    "dataclass": "a table",
}
"""First word of a pydantic error type, or type name -> expected value."""


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a dataclass instance from a mapping; `where` names its origin in messages.

    Raises:
        WrongUsage: an unknown or missing key, or an invalid value.
    """
    return _validated(cls, values, where)


def read_back(cls: type[T], values: Any, where: str) -> T:
    """Build a dataclass instance from data written by bench.

    Raises:
        BenchError: the file is damaged, or another version's.
    """
    try:
        if isinstance(values, Mapping):
            return _validated(cls, values, where)
        reason = "it is not an object."
    except WrongUsage as error:
        reason = str(error)
    raise BenchError(f"{where} is damaged, or another version's: {reason}")


def override(instance: T, values: Mapping[str, Any], where: str) -> T:
    """Copy a dataclass instance with some fields replaced, validated as `build` does.

    Raises:
        WrongUsage: an unknown key, or an invalid value.
    """
    hints: dict[str, Any] = _fields(type(instance))
    for key in values:
        if key not in hints:
            raise WrongUsage(_unknown(key, list(hints), where))
    valid = {key: _validated(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    return dataclasses.replace(instance, **valid)  # type: ignore[type-var]


def _validated(hint: Any, value: Any, where: str) -> Any:
    from pydantic import ValidationError

    try:
        (made,) = _adapter(hint).validate_json(json.dumps([value], default=str), strict=True)
    except ValidationError as error:
        # A mistyped key explains why the right one is missing, so it comes first.
        errors = sorted(error.errors(), key=lambda e: e["type"] != "unexpected_keyword_argument")
        raise WrongUsage(_sentence(hint, errors[0], where)) from None
    return made


@lru_cache
def _adapter(hint: Any) -> "TypeAdapter[Any]":
    """Return a validator of one-item lists; a bare dataclass takes no configuration."""
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return TypeAdapter(tuple[hint], config=config)


def _sentence(hint: Any, error: "ErrorDetails", where: str) -> str:
    """Return a sentence: what is wrong, where, and what to do."""
    kind, given = error["type"], error["input"]
    if kind == "json_invalid":
        return f"{where} has text that is not UTF-8."
    path = list(error["loc"][1:])
    owner, place = hint, where
    if kind in ("missing", "unexpected_keyword_argument"):
        key = path.pop()
    for part in path:
        # pydantic also names the class that it tried of a union.
        if part not in [getattr(plain, "__name__", None) for plain in _alternatives(owner)]:
            owner = _inside(owner, part)
            place = f"{place}.{part}" if isinstance(part, str) else place
    if kind == "unexpected_keyword_argument":
        known = [name for plain in _alternatives(owner) for name in _fields(plain)]
        return _unknown(str(key), known, place)
    if kind == "missing" and isinstance(key, str):
        return f"{place} lacks {key!r}."
    if kind == "literal_error":
        return f"{place} is {given!r}: choose {error['ctx']['expected']}."
    return f"{place} is {given!r}, but must be {_wanted(owner, kind, error['msg'])}."


def _wanted(hint: Any, kind: str, otherwise: str) -> str:
    if kind == "predicate_failed":
        return "finite"
    if kind in ("tuple_type", "too_long", "missing"):
        arguments = next(get_args(plain) for plain in _alternatives(hint) if get_args(plain))
        count = "" if arguments[1:] == (...,) else f"{len(arguments)} "
        each = _WANTED.get(getattr(arguments[0], "__name__", ""), "a table")
        return f"a list of {count}values, each {each}"
    if limits := _limits(hint) if kind.startswith(("greater_than", "less_than")) else {}:
        if limits.keys() == {"ge", "le"}:
            return f"between {limits['ge']} and {limits['le']}"
        return " and ".join(f"{_LIMITS[name]} {value}" for name, value in limits.items())
    return _WANTED.get(kind.partition("_")[0], otherwise)


def _inside(hint: Any, part: int | str) -> Any:
    """Return the type of a field or an item inside a type."""
    for plain in _alternatives(hint):
        arguments = get_args(plain)
        if dataclasses.is_dataclass(plain):
            if part in (fields := _fields(plain)):
                return fields[str(part)]
        elif get_origin(plain) is tuple:
            return arguments[0 if arguments[1:] == (...,) else int(part)]
        elif arguments:
            return arguments[-1]  # of a mapping
    return Any


def _alternatives(hint: Any) -> Iterator[Any]:
    """Yield the types that a hint allows, without annotations."""
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, types.UnionType):
        for argument in get_args(hint):
            yield from _alternatives(argument)
    else:
        yield hint


def _limits(hint: Any) -> dict[str, Any]:
    """Return the limits in a number's annotations, in the order of `_LIMITS`."""
    marks = [hint] if get_origin(hint) is Annotated else get_args(hint)
    found = [mark for annotated in marks for mark in getattr(annotated, "__metadata__", ())]
    values = {name: [getattr(mark, name, None) for mark in found] for name in _LIMITS}
    return {name: v for name, given in values.items() for v in given if v is not None}


def _fields(cls: Any) -> dict[str, Any]:
    """Return the fields of a dataclass with their types; empty for other types."""
    return get_type_hints(cls, include_extras=True) if dataclasses.is_dataclass(cls) else {}


def _unknown(key: str, known: list[str], where: str) -> str:
    hint = suggestion(key, known, f"known are {', '.join(known) or 'none'}.")
    return f"{where} has no {key!r}: {hint}"
