"""Names and paths from outside: which can be ours."""

import pytest

from bench.core.names import LONGEST, invalid_filename_reason, stays_below


@pytest.mark.parametrize(
    "name",
    ["a", "two words", "Zoë", "🙂", "👩‍👩‍👧", "a'b\"c", "-rf", "a..b", "...", "C:a", "x" * LONGEST],
)
def test_a_name_that_a_file_can_have(name: str) -> None:
    assert invalid_filename_reason(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is blank"),
        (" \u00a0", "is blank"),
        (".", "means a folder"),
        ("..", "means a folder"),
        ("a/b", "separator"),
        ("..\\b", "separator"),
        ("a\0", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x9b", "control character"),
        ("a\u2028b", "control character"),
        ("caf\udce9", "is not UTF-8"),
        ("x" * (LONGEST + 1), "more than 251 bytes"),
        ("é" * 126, "more than 251 bytes"),
    ],
)
def test_a_name_that_none_can_have(name: str, reason: str) -> None:
    assert reason in str(invalid_filename_reason(name))


@pytest.mark.parametrize("path", [".", "a", "a/b.png", "a..b/c", "./a", "ab:c", "1:b", "a/C:"])
def test_a_path_that_stays(path: str) -> None:
    assert stays_below(path)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "a/../../b",
        "/a",
        "\\a",
        "..\\a",
        "a\\..\\..\\b",
        "C:\\a",
        "c:a",
        "\\\\server\\a",
        "a\0",
    ],
)
def test_a_path_that_leads_out(path: str) -> None:
    assert not stays_below(path)
