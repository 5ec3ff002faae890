"""Two of every command at once, in processes; `python -m tests.pairs 20` does it for longer."""

import pytest

from tests.command import program


@pytest.mark.slow
def test_two_of_every_command_at_once_end_as_one_alone() -> None:
    assert "1 times two of weights, prepare, train, run" in program("tests.pairs", "1")
