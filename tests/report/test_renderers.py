"""Every format shows the same numbers, and none can be hijacked by a name."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from bench.report.published.tables import PublishedValue
from bench.report.renderers.escape import one_line
from bench.report.renderers.latex import to_latex
from bench.report.renderers.plain import to_csv, to_json, to_markdown
from bench.report.renderers.terminal import to_terminal
from bench.report.tables.table import Column, Row, Table
from bench.report.verdict import Departure

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"

HOSTILE = (
    r"\input{secret}",
    "<script>alert(1)</script>",
    "[red]alarm[/red]",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\x1b[31mred\x1b[0m",
    "two\nlines\r\tand\x00more",
    "a | b & c $x$ 100% #1 x_y x^2 ~ {z} --- ``q'' ?`",
    "*starred*",
    "\u202eright to left",
    "\ud800",
    ":smile: **bold** `code` ![i](u)",
    f"中文 \U0001f600 é Ł ß {TIMES} τ",
)

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
LPIPS = Column("lpips", "LPIPS", higher_is_better=False, digits=4)
FID = Column("fid", "FID", higher_is_better=False, digits=2)


def published(metric: str, printed: str) -> PublishedValue:
    return PublishedValue("celeba", 16, "dpi", metric, printed, "DPI (AAAI-25), Table 1", "DPI")


BICUBIC = Row(
    "bicubic",
    "Bicubic",
    {"psnr": {"1": 21.0, "2": 22.0}, "lpips": {"1": 0.5, "2": 0.6}},
    images_done=2,
    missing={"fid": "It needs weights."},
)
DPI = Row(
    "dpi",
    "DPI",
    {"psnr": {"1": 20.123456, "2": 21.0}, "lpips": {"1": 0.1, "2": 0.2}, "fid": {}},
    images_done=2,
    missing={"fid": "It needs weights."},
    published={"lpips": published("lpips", "0.1927")},
)
TRUTH = Row("truth", "Truth", {"psnr": {"1": math.inf, "2": math.inf}}, images_done=2)
TABLE = Table("CelebA", 16, 2, 0, (PSNR, LPIPS, FID), (BICUBIC, DPI, TRUTH), notes=("Strict.",))
PRINTED = [
    ["21.50", "0.5500≈", DASH],  # of two images nothing can be separated
    ["20.56≈", "0.1500", DASH],
    ["∞", DASH, DASH],
]


def hostile_table(text: str) -> Table:
    """A table with the text wherever text from outside can be."""
    column = Column("psnr", text, higher_is_better=True, digits=2, unit=text)
    rows = (
        Row(
            text,
            text,
            {"psnr": {"1": 1.0}},
            1,
            published={"psnr": replace(published("psnr", "1.0"), source=text)},
            departures={"psnr": (Departure(text),)},
        ),
        Row("b", text, {}, 0, missing={"psnr": text}),
    )
    return Table(text, 4, 2, 0, (column,), rows, title=text, notes=(text,))


def terminal_text(table: Table, width: int = 200, **options: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    console.print(to_terminal(table, **options), soft_wrap=True)
    return stream.getvalue()


def terminal_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def latex_rows(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines() if line.endswith(r"\\")]
    return [re.split(r" (?<!\\)& ", line.removesuffix(r" \\")) for line in lines]


def json_value(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_terminal_shows_the_printed_numbers_and_numbered_reasons() -> None:
    text = terminal_text(TABLE)
    header, *rows = terminal_rows(text)
    assert header == ["Method", "PSNR (dB) ↑", "LPIPS ↓", "FID ↓"]
    bare = [[re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]", "", cell) for cell in row[1:]] for row in rows]
    assert bare == PRINTED
    assert [row[3] for row in rows] == [f"{DASH}¹", f"{DASH}¹", f"{DASH}²"]
    assert "¹ It needs weights." in text
    assert "² It was not measured." in text
    assert "Strict." in text
    assert f"CelebA, {TIMES}16, N = 2, seed 0" in text


def test_the_terminal_marks_by_style_or_by_sign() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=200, force_terminal=True, color_system="standard")
    console.print(to_terminal(TABLE))
    assert "\x1b[1;31m21.50\x1b[0m" in stream.getvalue()
    assert "\x1b[4;34m20.56\x1b[0m" in stream.getvalue()
    assert "\x1b[1;31m0.1500\x1b[0m" in stream.getvalue()
    _, bicubic, dpi, truth = terminal_rows(terminal_text(TABLE, styled=False))
    assert bicubic[1:3] == ["21.50**", "0.5500*≈"]
    assert dpi[1:3] == ["20.56*≈", "0.1500**"]
    assert truth[1] == "∞"
    assert "best**, second best*, ≈ not separated from the best by the data" in terminal_text(
        TABLE, styled=False
    )


def test_a_terminal_that_is_too_narrow_loses_nothing() -> None:
    assert terminal_rows(terminal_text(TABLE, width=20)) == terminal_rows(terminal_text(TABLE))


def test_published_values_stand_beside_ours_when_asked() -> None:
    text = terminal_text(TABLE, beside=True)
    header, bicubic, dpi, _ = terminal_rows(text)
    assert header == ["Method", "PSNR (dB) ↑", "LPIPS ↓", "published", "FID ↓"]
    assert (bicubic[3], dpi[3]) == ("", f"0.1927 ({MINUS}0.0427, match)")
    assert "Published: DPI (AAAI-25), Table 1." in text
    assert "Match: within the rounding" in text
    assert "0.1927" not in terminal_text(TABLE)
    assert "Published" not in terminal_text(TABLE)
    assert markdown_rows(to_markdown(TABLE, beside=True))[3][3] == f"0.1927 ({MINUS}0.0427, match)"
    assert latex_rows(to_latex(TABLE, beside=True))[2][3] == "0.1927 ($-$0.0427, match)"


def test_intervals_stand_behind_the_numbers_when_asked() -> None:
    header, bicubic, *_ = terminal_rows(terminal_text(TABLE, intervals=True))
    assert header == ["Method", "PSNR (dB) ↑", "95 %", "LPIPS ↓", "95 %", "FID ↓"]
    assert bicubic[2] == "21.00 to 22.00"
    assert markdown_rows(to_markdown(TABLE, intervals=True))[2][2] == "21.00 to 22.00"
    assert latex_rows(to_latex(TABLE, intervals=True))[1][2] == "21.00 to 22.00"
    assert "95 %" not in terminal_text(TABLE)


def test_what_can_not_be_compared_is_said_once_and_of_whom() -> None:
    small, other = Departure("It is small."), Departure("The prior is another.")
    known = Departure("It is of 2 images.", comparable=True)

    def row(name: str, *departures: Departure) -> Row:
        return Row(
            name,
            name.upper(),
            {"psnr": {"1": 1.0, "2": 2.0}},
            images_done=2,
            published={"psnr": published("psnr", "1.50")},
            departures={"psnr": departures},
        )

    rows = (row("a", small, known), row("b", small, other))
    text = terminal_text(Table("set", 4, 2, 0, (PSNR,), rows), beside=True)
    assert "Not comparable (n.c.): It is small. B: The prior is another." in text
    assert "Note: A: It is of 2 images." in text
    assert "1.50 (+0.00, n.c.)" in text
    assert "A match is" not in text


def test_a_sentence_names_the_rows_or_the_columns_that_it_is_about() -> None:
    def row(name: str, psnr: tuple[str, ...], lpips: tuple[str, ...] | None) -> Row:
        said = {"psnr": psnr} if lpips is None else {"psnr": psnr, "lpips": lpips}
        return Row(
            name,
            name,
            {metric: {"1": 1.0} for metric in said},
            1,
            published={metric: published(metric, "1.0") for metric in said},
            departures={m: tuple(Departure(text) for text in texts) for m, texts in said.items()},
        )

    rows = (row("A", ("r.", "one."), ("r.", "c.")), row("B", (), ("c.",)), row("C", ("q.",), None))
    text = terminal_text(Table("set", 4, 1, 0, (PSNR, LPIPS), rows), beside=True)
    assert "n.c.): A: r. A; PSNR: one. LPIPS: c. C: q." in text


def test_repetitions_are_one_row_with_their_spread() -> None:
    repeated = tuple(Row("a", "A", {"psnr": {"1": v}}, 1) for v in (20.0, 21.0))
    row = Row("a", "A", {"psnr": {"1": 20.5}}, 1, repetitions=repeated)
    table = Table("set", 4, 1, 0, (PSNR,), (row,))
    text = terminal_text(table)
    assert terminal_rows(text) == [["Method", "PSNR (dB) ↑", "±"], ["A", "20.50", "0.71"]]
    assert "A: means over 2 repetitions, ± the standard deviation" in text
    assert latex_rows(to_latex(table))[1] == ["A", "20.50", "0.71"]
    score = json_value(to_json(table))["methods"][0]["scores"]["psnr"]
    assert (score["repetitions"], score["spread"]) == (2, pytest.approx(0.5**0.5))


def test_markdown_shows_the_printed_numbers_and_marks() -> None:
    text = to_markdown(TABLE)
    header, rule, *rows = markdown_rows(text)
    assert header == ["Method", "PSNR (dB) ↑", "LPIPS ↓", "FID ↓"]
    assert rule == [":---", "---:", "---:", "---:"]
    assert [row[1:] for row in rows] == [
        ["**21.50**", "*0.5500* ≈", f"{DASH} (1)"],
        ["*20.56* ≈", "**0.1500**", f"{DASH} (1)"],
        ["∞", f"{DASH} (2)", f"{DASH} (2)"],
    ]
    assert "(1) It needs weights." in text
    assert "(2) It was not measured." in text
    assert "Strict." in text


def test_latex_shows_the_printed_numbers_and_marks() -> None:
    text = to_latex(TABLE)
    header, *rows = latex_rows(text)
    assert header == ["Method", r"PSNR (dB) $\uparrow$", r"LPIPS $\downarrow$", r"FID $\downarrow$"]
    assert [row[1:] for row in rows] == [
        [r"\best{21.50}", r"\tied{\second{0.5500}}", r"--\textsuperscript{1}"],
        [r"\tied{\second{20.56}}", r"\best{0.1500}", r"--\textsuperscript{1}"],
        [r"$\infty$", r"--\textsuperscript{2}", r"--\textsuperscript{2}"],
    ]
    assert r"\caption{CelebA, $\times$16, N = 2, seed 0}" in text
    assert r"\label{tab:celeba-x16}" in text
    assert "It needs weights." in text


def test_latex_labels_differ_where_names_do() -> None:
    names = ("tiny, 男", "tiny, 女", "tiny")
    texts = [to_latex(replace(TABLE, test_set=name)) for name in names]
    assert len({re.findall(r"label\{.*\}", text)[0] for text in texts}) == 3


def test_latex_sets_negative_numbers_with_a_minus() -> None:
    row = Row("a", "A", {"psnr": {"1": -1.5}, "lpips": {"1": -math.inf}}, images_done=1)
    text = to_latex(Table("set", None, 1, 0, (PSNR, LPIPS), (row,)))
    assert latex_rows(text)[1] == ["A", "$-$1.50", r"$-$$\infty$"]


def test_csv_and_json_hold_the_same_full_numbers_as_the_table() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    value = json_value(to_json(TABLE))
    assert len(lines) == 9
    for line in lines:
        method = next(m for m in value["methods"] if m["name"] == line["method"])
        metric = next(m for m in value["metrics"] if m["name"] == line["metric"])
        score = method["scores"][line["metric"]]
        assert line["value"] == ("" if score["value"] is None else str(score["value"]))
        assert line["count"] == str(score["count"])
        assert line["mark"] == (score["mark"] or "")
        assert line["reason"] == (score["reason"] or "")
        assert line["better"] == metric["better"]
        low, high = score["interval"] or ("", "")
        assert (line["low"], line["high"]) == (str(low), str(high))
        for name in ("repetitions", "spread", "tied", "p_value", "effect"):
            assert line[name] == ("" if score[name] is None else str(score[name]))
        told = score["published"] or {}
        assert line["published"] == told.get("printed", "")
        assert line["difference"] == str(told.get("difference", ""))
        assert line["verdict"] == told.get("verdict", "")
    by_key = {(line["method"], line["metric"]): line for line in lines}
    assert float(by_key["dpi", "psnr"]["value"]) == math.fsum([20.123456, 21.0]) / 2
    assert by_key["dpi", "psnr"]["count"] == "2"
    assert by_key["dpi", "psnr"]["better"] == "higher"
    assert by_key["dpi", "lpips"]["better"] == "lower"
    assert by_key["dpi", "lpips"]["mark"] == "best"
    assert by_key["truth", "psnr"]["value"] == "Infinity"
    assert by_key["dpi", "lpips"]["verdict"] == "match"
    assert by_key["bicubic", "lpips"]["tied"] == "True"
    assert float(by_key["bicubic", "lpips"]["p_value"]) == 0.5
    assert by_key["dpi", "fid"]["value"] == ""
    assert by_key["dpi", "fid"]["reason"] == "It needs weights."
    assert value["methods"][1]["scores"]["fid"]["value"] is None
    assert (value["test_set"], value["scale"], value["seed"]) == ("CelebA", 16, 0)
    assert value["notes"][-1] == "Strict."


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5), st.integers(0, 5))
def test_every_format_prints_what_rounding_the_full_number_gives(
    values: list[float], digits: int
) -> None:
    column = Column("m", "M", higher_is_better=True, digits=digits)
    rows = tuple(Row(f"r{i}", f"R{i}", {"m": {"1": v}}, 1) for i, v in enumerate(values))
    table = Table("set", 4, 1, 0, (column,), rows)
    full = [float(line["value"]) for line in csv.DictReader(io.StringIO(to_csv(table)))]
    assert full == values
    expected = [f"{value:z.{digits}f}" for value in full]
    assert [row[1] for row in terminal_rows(terminal_text(table))[1:]] == expected
    assert [row[1].strip("*") for row in markdown_rows(to_markdown(table))[2:]] == expected
    latex = [re.sub(r"\\(best|second)|[{}]", "", row[1]) for row in latex_rows(to_latex(table))[1:]]
    assert [cell.replace("$-$", "-") for cell in latex] == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_changes_the_form_of_a_table(text: str) -> None:
    table = hostile_table(text)
    assert {len(row) for row in terminal_rows(terminal_text(table))} <= {2, len(text)}
    plain = hostile_table("plain")
    assert terminal_text(table).count("\n") == terminal_text(plain).count("\n")
    assert [len(row) for row in markdown_rows(to_markdown(table))] == [2, 2, 2, 2]
    assert to_markdown(table).count("\n") == to_markdown(plain).count("\n")
    assert [len(row) for row in latex_rows(to_latex(table))] == [2, 2, 2]
    assert to_latex(table).count("\n") == to_latex(plain).count("\n")
    assert [len(line) for line in csv.reader(io.StringIO(to_csv(table)))] == [30, 30, 30]
    assert json_value(to_json(table))["title"] == one_line(text)
    for drawn in (terminal_text(table), to_markdown(table), to_latex(table), to_csv(table)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", drawn)
        drawn.encode()
    to_json(table).encode()


def test_a_name_that_looks_like_markup_is_shown_as_it_is() -> None:
    text = terminal_text(hostile_table("[red]:smile:[/red]"), beside=True)
    # Twice in the caption, twice in the header, two labels, a reason, a column's note, the source,
    # a departure, a note.
    assert text.count("[red]:smile:[/red]") == 11


@given(st.text(st.sampled_from("=+-@\t\r\n\x00 ") | st.characters(), max_size=9))
@example("=1")
@example("+1")
@example("-1")
@example("@a")
@example("\t=1")
@example("\r\n@a")
def test_no_csv_cell_from_outside_is_a_formula(text: str) -> None:
    for line in csv.reader(io.StringIO(to_csv(hostile_table(text)))):
        for cell in line:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_negative_means_stay_numbers_in_csv() -> None:
    table = Table("set", 4, 1, 0, (PSNR,), (Row("a", "A", {"psnr": {"1": -1.5}}, 1),))
    assert next(csv.DictReader(io.StringIO(to_csv(table))))["value"] == "-1.5"


def test_the_latex_compiles_whatever_the_names_are(tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex") or shutil.which("tectonic")
    if not compiler:
        pytest.skip("needs pdflatex (Debian: texlive-latex-recommended) or tectonic")
    every_letter = "".join(chr(code) for code in range(0x20, 0x180))
    tables = (TABLE, *map(hostile_table, (*HOSTILE, every_letter)))
    text = "\n".join(to_latex(t) + to_latex(t, intervals=True, beside=True) for t in tables)
    (tmp_path / "secret.tex").write_text("leaked")
    # The user's own \best wins over the table's; floats in plenty need room.
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage{xcolor}\n"
        "\\usepackage{graphicx}\n"
        "\\newcommand{\\best}[1]{\\typeout{MINE #1}\\textbf{#1}}\n"
        f"\\begin{{document}}\n{text.replace('end{table}', 'end{table}' + chr(92) + 'clearpage')}"
        "\\end{document}\n",
        encoding="utf-8",
    )
    options = ["-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error"]
    command = [compiler, *(options if compiler.endswith("pdflatex") else []), "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    output = done.stdout.decode(errors="replace")
    assert done.returncode == 0, output[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 0
    assert "secret.tex" not in output
    if compiler.endswith("pdflatex"):
        assert "MINE 21.50" in output
