"""A short storm of kills; `make storm` is a long one."""

import pytest

from tests.command import program
from tests.copies import differences
from tests.storm import KILLED


@pytest.mark.slow
def test_commands_killed_at_random_end_as_if_undisturbed() -> None:
    said = program("tests.storm", "12")
    assert "12 kills in" in said
    assert all(f"'{name}'" in said for name in KILLED), said


def test_a_storm_names_what_is_not_as_it_was() -> None:
    assert differences({"a": b"1", "b": b"1"}, {"b": b"2", "c": b""}) == [
        "a is missing.",
        "c is left behind.",
        "b differs.",
    ]
