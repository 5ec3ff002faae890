"""Render tables for the terminal."""

from collections.abc import Sequence
from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.renderers.escape import one_line
from bench.report.tables.layout import TIED, UNSEPARATED, Layout, lay_out
from bench.report.tables.table import Cell, Mark, Table

# The paper's colours; weight and underline tell them apart where there is no colour.
STYLES = {Mark.BEST: "bold red", Mark.SECOND: "underline blue", Mark.NONE: ""}
# For pipes and files, where there is neither.
SIGNS = {Mark.BEST: "**", Mark.SECOND: "*", Mark.NONE: ""}

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def to_terminal(
    table: Table, *, intervals: bool = False, beside: bool = False, styled: bool = True
) -> RenderableType:
    """Render methods by metrics with marks and notes.

    Args:
        table: table to render; its texts are escaped and never interpreted as markup.
        intervals: show 95 % intervals.
        beside: show published values, differences and verdicts.
        styled: mark by style; without it (give `console.is_terminal`) by asterisks.

    Nothing is shortened to fit: print with `soft_wrap=True`, so that the lines of a table wider
    than the terminal are wrapped and not cut off.
    """
    layout = lay_out(table, intervals=intervals, beside=beside)
    number, dim = partial(_number, layout, styled=styled), partial(_text, style="dim")
    columns = list(layout.columns(_text, number, dim))
    return Group(draw_grid(layout.caption, columns), *_underneath(layout, styled))


def draw_grid(caption: str, columns: Sequence[tuple[str, Sequence[Text]]]) -> RichTable:
    """Draw a grid of headers and texts, the first column left-aligned, the others right-aligned.

    Headers and caption may hold anything; the texts are made safe already.
    """
    widths = [max(text.cell_len for text in (_text(header), *texts)) for header, texts in columns]
    # Rich drops columns of a table wider than the terminal unless it is given a width.
    drawn = RichTable(title=_text(caption), width=sum(widths) + 3 * len(widths) + 1)
    for i, (header, _) in enumerate(columns):
        drawn.add_column(_text(header), justify="right" if i else "left", width=widths[i])
    for line in zip(*(texts for _, texts in columns), strict=True):
        drawn.add_row(*line)
    return drawn


def _number(layout: Layout, cell: Cell, number: str, styled: bool) -> Text:
    note = layout.note_number(cell)
    behind = _superscript(note) if note else TIED if cell.tied else ""
    # Where any number has a sign behind it, digits stay under digits.
    return _marked(number, cell.mark, styled) + Text(behind or " " * layout.tied)


def _underneath(layout: Layout, styled: bool) -> list[Text]:
    legend = [_marked("best", Mark.BEST, styled), _marked("second best", Mark.SECOND, styled)]
    legend += [Text(f"{TIED} {UNSEPARATED}")] if layout.tied else []
    reasons = enumerate(layout.reasons, start=1)
    return [
        *([Text(", ").join(legend)] if layout.marked else []),
        *(Text(f"{_superscript(i)} {one_line(reason)}") for i, reason in reasons),
        *(_text(note) for note in layout.notes),
    ]


def _marked(text: str, mark: Mark, styled: bool) -> Text:
    # Append the style, so that the padding is not underlined too.
    return Text().append(text, STYLES[mark]) if styled else Text(text + SIGNS[mark])


def _superscript(note: int) -> str:
    return str(note).translate(_SUPERSCRIPTS)


def _text(text: str, style: str = "") -> Text:
    return Text(one_line(text), style)
