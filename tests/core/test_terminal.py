"""Characters that a terminal cannot encode are spelled in ASCII."""
# ruff: noqa: RUF001 - look-alikes are the subject

import io
import sys

import pytest

from bench.core.terminal import ascii_form, fall_back_to_ascii


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_anything_can_be_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding=encoding))
    fall_back_to_ascii()
    print("×8 ≤ ≈ ± ∞ ┏━┳━┓ ¹² é 顔 \U0001f600", flush=True)
    printed = bytes_.getvalue().decode(encoding).strip()
    if encoding == "utf-8":
        assert printed == "×8 ≤ ≈ ± ∞ ┏━┳━┓ ¹² é 顔 \U0001f600"
    elif encoding == "ascii":
        assert printed == "x8 <= ~ +- inf +-+-+ 12 e ? ?"
    else:
        assert printed == "×8 <= ~ ± inf +-+-+ ¹² é ? ?"


@pytest.mark.parametrize(("character", "form"), [("│", "|"), ("─", "-"), ("╭", "+"), ("█", "#")])
def test_frames_stay_frames(character: str, form: str) -> None:
    assert ascii_form(character) == form
