"""Render tables as LaTeX."""

import re
from collections.abc import Iterable
from functools import partial

from bench.report.renderers.escape import latex_text
from bench.report.tables.layout import ABSENT, INFINITE, UNSEPARATED, Layout, lay_out
from bench.report.tables.table import Cell, Mark, Table

_HEAD = r"""% Needs \usepackage{booktabs} and \usepackage{xcolor}%s.
% Define \best, \second and \tied before this table to mark in another way.
\providecommand{\best}[1]{\textcolor{red}{\textbf{#1}}}
\providecommand{\second}[1]{\textcolor{blue}{\underline{#1}}}
\providecommand{\tied}[1]{#1\rlap{$^\approx$}}"""

# A table with intervals or published values is made as narrow as the text, if it is wider.
_NARROW = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"

_MARKS = {Mark.BEST: r"\best{%s}", Mark.SECOND: r"\second{%s}", Mark.NONE: "%s"}


def to_latex(table: Table, *, intervals: bool = False, beside: bool = False) -> str:
    r"""Render a `table` float with booktabs rules, marked by \best, \second and \tied.

    It needs the packages that its first line names: booktabs and xcolor, and graphicx where there
    are intervals, spreads or published values, which are set smaller. Text from outside is escaped.
    """
    layout = lay_out(table, intervals=intervals, beside=beside)
    columns = list(layout.columns(latex_text, partial(_number, layout), latex_text))
    headers = [latex_text(header) for header, _ in columns]
    aligned = "l" + "".join("r" + "l" * len(extras) for extras in layout.extras)
    wide = any(layout.extras)
    lines = [
        _HEAD.replace("%s", r" and \usepackage{graphicx}" if wide else ""),
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex_text(layout.caption)}}}",
        rf"  \label{{{_reference(table)}}}",
        *([r"  \footnotesize", rf"  {_NARROW}"] if wide else []),
        rf"  \begin{{tabular}}{{{aligned}}}",
        r"    \toprule",
        f"    {_joined(headers)}",
        r"    \midrule",
        *(f"    {_joined(row)}" for row in zip(*(texts for _, texts in columns), strict=True)),
        r"    \bottomrule",
        r"  \end{tabular}" + "}" * wide,
        *(f"  {line}" for line in _underneath(layout)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _joined(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def _number(layout: Layout, cell: Cell, number: str) -> str:
    note = layout.note_number(cell)
    if note is not None:
        return rf"{latex_text(ABSENT)}\textsuperscript{{{note}}}"
    digits = number.removeprefix("-")
    shown = latex_text(digits) if digits == INFINITE else digits
    minus = "$-$" if number.startswith("-") else ""
    marked = _MARKS[cell.mark] % f"{minus}{shown}"
    return rf"\tied{{{marked}}}" if cell.tied else marked


def _underneath(layout: Layout) -> list[str]:
    numbered = [
        rf"\textsuperscript{{{i}}} {latex_text(reason)}"
        for i, reason in enumerate(layout.reasons, start=1)
    ]
    legend = [r"\best{best}, \second{second best}"] if layout.marked else []
    legend = [rf"{legend[0]}, $\approx$ {UNSEPARATED}"] if layout.tied else legend
    notes = [*legend, *numbered, *(latex_text(note) for note in layout.notes)]
    return [rf"\par\smallskip{{\footnotesize\raggedright {note}\par}}" for note in notes]


def _reference(table: Table) -> str:
    scale = "" if table.scale is None else f"-x{table.scale}"
    # Letters outside ASCII become numbers: dropped, they would leave different names one label.
    name = f"{table.test_set.lower()}{scale}".encode("ascii", "xmlcharrefreplace").decode()
    return "tab:" + re.sub("[^a-z0-9]+", "-", name).strip("-")
