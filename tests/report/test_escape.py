"""Text from outside is shown as it reads, and can't act."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.report.renderers.escape import csv_text, latex_text, markdown_text, one_line

# What means something to one of the formats; Hypothesis alone would seldom come up with it.
SPECIAL = "\\`*_[]#|~$<>&%^{}\"'-,!?=+@\n\t\x1b"

outside = st.text(st.sampled_from(SPECIAL) | st.characters(), max_size=30)


@given(outside)
@example(SPECIAL)
def test_markdown_has_no_html_and_no_bare_markup(text: str) -> None:
    shown = markdown_text(text)
    assert "<" not in shown
    assert ">" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]|$#~]", re.sub(r"\\.", "", shown))


@given(outside)
@example(SPECIAL)
def test_latex_has_only_commands_of_ours_and_balanced_braces(text: str) -> None:
    shown = latex_text(text)
    bare = re.sub(r"\\[{}$&#%_]", "", shown)
    assert bare.count("{") == bare.count("}")
    commands = set(re.findall(r"\\([a-zA-Z]+|.)", bare))
    assert commands <= {
        *("textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater"),
        *("textbar", "dots", "times", "pm", "infty", "uparrow", "downarrow", "rightarrow"),
        *("eta", "lambda", "sigma", "tau", "omega"),
    }
    assert not re.search("[&#%_^~]", bare)
    assert bare.count("$") % 2 == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50 % of x_1", r"50 \% of x\_1"),
        ("---", "-{}-{}-"),
        ("[a]*", "{[}a{]}{*}"),
        ("LPIPS-Alex", "LPIPS-Alex"),
        ("Łé 中", "Łé U+4E2D"),
        ("it isn't", "it isn't"),
    ],
)
def test_latex_text(text: str, expected: str) -> None:
    assert latex_text(text) == expected


def test_one_line_joins_blanks_and_shows_what_is_invisible() -> None:
    assert one_line(" a\n\tb\u2028c\x1b[0m\u202e ") == "a b c\ufffd[0m\ufffd"
    assert csv_text("\t=1") == "'=1"
