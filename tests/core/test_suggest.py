"""Suggestions: at most three, close ones only."""

import pytest

from bench.core.suggest import suggestion

KNOWN = ["ddnm", "ddrm", "dps", "dpi", "dr2", "bicubic", "LPIPS"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bicubi", "did you mean 'bicubic'?"),
        ("ddmn", "did you mean 'ddrm' or 'ddnm'?"),
        ("lpips", "did you mean 'LPIPS'?"),
        ("resample", "otherwise"),
        ("", "otherwise"),
    ],
)
def test_close_names_are_suggested(name: str, expected: str) -> None:
    assert suggestion(name, KNOWN, "otherwise") == expected


def test_three_at_most() -> None:
    many = [f"method{i}" for i in range(9)]
    assert suggestion("method", many, "").count("method") == 3
