"""A table for a paper."""

import re

from bench.report.escape import latex_text
from bench.report.layout import ABSENT, INFINITE, Layout, lay_out
from bench.report.table import Cell, Mark, Table

_HEAD = r"""% Needs \usepackage{booktabs} and \usepackage{xcolor}.
% Define \best and \second before this table to mark in another way.
\providecommand{\best}[1]{\textcolor{red}{\textbf{#1}}}
\providecommand{\second}[1]{\textcolor{blue}{\underline{#1}}}"""

_MARKS = {Mark.BEST: r"\best{%s}", Mark.SECOND: r"\second{%s}", Mark.NONE: "%s"}


def to_latex(table: Table) -> str:
    r"""A `table` float with booktabs rules, marked by \best and \second, for \input in a paper.

    It needs the packages booktabs and xcolor, as its first line says, and nothing else. Text from
    outside is escaped.
    """
    layout = lay_out(table)
    headers = ["Method", *(latex_text(header) for header in layout.headers)]
    lines = [
        _HEAD,
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex_text(layout.caption)}}}",
        rf"  \label{{{_reference(table)}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"    \toprule",
        f"    {_joined(headers)}",
        r"    \midrule",
        *(f"    {line}" for line in _rows(layout)),
        r"    \bottomrule",
        r"  \end{tabular}",
        *(f"  {line}" for line in _underneath(layout)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _rows(layout: Layout) -> list[str]:
    return [
        _joined(
            [
                latex_text(label),
                *(_number(layout, c, n) for c, n in zip(cells, numbers, strict=True)),
            ]
        )
        for label, cells, numbers in zip(layout.labels, layout.cells, layout.numbers, strict=True)
    ]


def _joined(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"


def _number(layout: Layout, cell: Cell, number: str) -> str:
    note = layout.note_number(cell)
    if note is not None:
        return rf"{latex_text(ABSENT)}\textsuperscript{{{note}}}"
    digits = number.removeprefix("-")
    shown = latex_text(digits) if digits == INFINITE else digits
    minus = "$-$" if number.startswith("-") else ""
    return _MARKS[cell.mark] % f"{minus}{shown}"


def _underneath(layout: Layout) -> list[str]:
    numbered = [
        rf"\textsuperscript{{{i}}} {latex_text(reason)}"
        for i, reason in enumerate(layout.reasons, start=1)
    ]
    notes = [*numbered, *(latex_text(note) for note in layout.notes)]
    return [rf"\par\smallskip{{\footnotesize {note}\par}}" for note in notes]


def _reference(table: Table) -> str:
    scale = "" if table.scale is None else f"-x{table.scale}"
    return "tab:" + re.sub("[^a-z0-9]+", "-", f"{table.test_set.lower()}{scale}").strip("-")
