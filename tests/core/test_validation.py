"""Dataclasses from what users write: what is taken, and how the rest is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from bench.core.errors import BenchError, WrongUsage
from bench.core.validation import build, override, read_back


@dataclass(frozen=True)
class Inner:
    size: int
    name: str = "x"


@dataclass(frozen=True)
class Other:
    width: int


@dataclass(frozen=True)
class Outer:
    count: int = 1
    rate: float = 0.5
    text: str = "t"
    on: bool = False
    mode: Literal["a", "b"] = "a"
    several: tuple[int, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    maybe: int | None = None
    inner: Inner = Inner(1)
    either: Other | Inner | None = None
    by_name: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("count", -3, -3),
        ("rate", 2, 2.0),
        ("rate", 2.5, 2.5),
        ("text", "", ""),
        ("on", True, True),
        ("mode", "b", "b"),
        ("several", [1, 2], (1, 2)),
        ("several", (), ()),
        ("pair", [1, 2.5], (1.0, 2.5)),
        ("maybe", None, None),
        ("either", {"width": 2}, Other(2)),
        ("either", {"size": 2}, Inner(2)),
        ("either", None, None),
        ("maybe", 4, 4),
        ("inner", {"size": 2, "name": "y"}, Inner(2, "y")),
        ("by_name", {"64": [1, 2]}, {"64": (1.0, 2.0)}),
        ("free", {"a": {"b": [1]}}, {"a": {"b": [1]}}),
    ],
)
def test_values_of_the_right_type_are_taken(key: str, value: object, kept: object) -> None:
    found = getattr(build(Outer, {key: value}, "x"), key)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", 1.0, "x.count is 1.0, but must be a whole number."),
        ("count", True, "x.count is True, but must be a whole number."),
        ("count", "1", "x.count is '1', but must be a whole number."),
        ("either", {"sise": 2}, "x.either has no 'sise': did you mean 'size'?"),
        ("count", None, "x.count is None, but must be a whole number."),
        ("rate", True, "x.rate is True, but must be a number."),
        ("rate", "1", "x.rate is '1', but must be a number."),
        ("text", 1, "x.text is 1, but must be a string."),
        ("on", 1, "x.on is 1, but must be true or false."),
        ("mode", "c", "x.mode is 'c': choose 'a' or 'b'."),
        ("several", 1, "x.several is 1, but must be a list of values, each a whole number."),
        ("several", [1, "2"], "x.several is '2', but must be a whole number."),
        ("several", "12", "x.several is '12', but must be a list of values, each a whole number."),
        ("pair", [1], "x.pair is [1], but must be a list of 2 values, each a number."),
        ("maybe", "4", "x.maybe is '4', but must be a whole number."),
        ("inner", 3, "x.inner is 3, but must be a table."),
        ("inner", {}, "x.inner lacks 'size'."),
        ("inner", {"size": 1, "nam": ""}, "x.inner has no 'nam': did you mean 'name'?"),
        ("by_name", [1], "x.by_name is [1], but must be a table."),
        ("by_name", {"64": [None]}, "x.by_name.64 is None, but must be a number."),
        ("coutn", 1, "x has no 'coutn': did you mean 'count'?"),
    ],
)
def test_the_rest_is_refused_with_its_place(key: str, value: object, message: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        build(Outer, {key: value}, "x")
    assert str(caught.value) == message


def test_an_unknown_key_that_resembles_nothing_lists_all() -> None:
    with pytest.raises(WrongUsage, match=r"^x has no 'zzz': known are size, name\.$"):
        build(Inner, {"size": 1, "zzz": 1}, "x")

    @dataclass(frozen=True)
    class Empty:
        pass

    with pytest.raises(WrongUsage, match=r"^x has no 'zzz': known are none\.$"):
        build(Empty, {"zzz": 1}, "x")


def test_what_is_left_out_keeps_its_default() -> None:
    assert build(Outer, {}, "x") == Outer()
    with pytest.raises(WrongUsage, match=r"^x lacks 'size'\.$"):
        build(Inner, {"name": "y"}, "x")


def test_override_replaces_some_fields_of_a_copy() -> None:
    before = Outer(count=7, text="kept")
    after = override(before, {"rate": 1, "several": [3]}, "x")
    assert after == Outer(count=7, text="kept", rate=1.0, several=(3,))
    assert before == Outer(count=7, text="kept")
    assert override(before, {}, "x") == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1.0}, r"^x has no 'rat': did you mean 'rate'\?$"),
        ({"count": 1.5}, r"^x\.count is 1\.5, but must be a whole number\.$"),
    ],
)
def test_override_checks_as_build_does(values: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        override(Outer(), values, "x")


@pytest.mark.parametrize("values", [{"size": "1"}, {"sizes": 1}, {}, [1], None, "text"])
def test_a_damaged_file_of_our_own_is_no_wrong_usage(values: object) -> None:
    with pytest.raises(BenchError, match=r"^x is damaged, or another version's: ") as caught:
        read_back(Inner, values, "x")
    assert not isinstance(caught.value, WrongUsage)


def test_what_was_written_is_read_back() -> None:
    assert read_back(Inner, {"size": 1, "name": "y"}, "x") == Inner(1, "y")
