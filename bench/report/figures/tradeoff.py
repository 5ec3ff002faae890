"""Figure of a sweep: effect of each setting on two metrics and on one face.

As in Figure 7 of DPI's paper, which shows faces alone; the curve is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import BenchError
from bench.report.figures import canvas
from bench.report.renderers.escape import one_line
from bench.report.strip import scaled
from bench.report.tables.layout import header

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.images import Pixels
    from bench.report.tables.table import Column

Settings = Mapping[str, Any]

GAP = 0.03  # inches
LARGEST = 0.55  # inches: of a face
LINE = 1.25 * canvas.FONT / 72  # inches: from one line of text to the next


@dataclass(frozen=True)
class SweptRun:
    """A run of a sweep: settings, variant, two metrics, and one face.

    `variant` is the name of the variant that it is, or "".
    """

    settings: Settings
    x: float
    y: float
    picture: Pixels | None = None
    variant: str = ""


@dataclass(frozen=True)
class Line:
    """Runs that differ from a central run in one setting, with their labels, in order.

    They are `joined` by a curve if the setting is numeric; otherwise they are variants.
    """

    name: str
    runs: tuple[SweptRun, ...]
    values: tuple[str, ...]
    joined: bool = True


def centre(runs: Sequence[SweptRun]) -> SweptRun:
    """Return the central run of a sweep, from which most others differ in one setting."""

    def neighbours(run: SweptRun) -> int:
        return sum(len(_apart(run, other)) == 1 for other in runs)

    return max(runs, key=neighbours)  # the first if there are several


def lines(runs: Sequence[SweptRun], around: SweptRun) -> list[Line]:
    """Return a line per setting: the central run and those that differ in that setting only.

    Non-numeric settings have no order and share one line, the variants.
    """
    found = []
    variants: list[tuple[SweptRun, str]] = []
    for name, middle in around.settings.items():
        of = [run for run in runs if _apart(run, around) == [name]]
        if not _is_number(middle):
            variants += [(run, run.variant or f"{name} {run.settings[name]}") for run in of]
        elif of:
            ordered = tuple(sorted([around, *of], key=lambda run: run.settings[name]))
            values = tuple(f"{run.settings[name]:g}" for run in ordered)
            found.append(Line(name, ordered, values))
    if variants:
        others, values = zip(*variants, strict=True)
        found.append(Line("variants", others, values, joined=False))
    return found


def tradeoff(runs: Sequence[SweptRun], x: Column, y: Column, width: float | None = None) -> Figure:
    """Draw a curve per swept setting, with one face per value below.

    Curves cross at the central run, which is black with its values in bold. Runs that differ from
    it in more than one setting, as in a grid, are grey. Points are labelled if there is room.

    Raises:
        BenchError: no two runs differ in exactly one setting.
    """
    around = centre(runs) if runs else None
    curves = lines(runs, around) if around else []
    if not around or not curves:
        raise BenchError("No two runs differ in exactly one setting: run `bench sweep` first.")
    width = width or canvas.COLUMN
    rows = [curve for curve in curves if any(run.picture is not None for run in curve.runs)]
    across = max((len(curve.runs) for curve in rows), default=1)
    room = max(canvas.text_width(curve.name) for curve in curves) + 0.1
    side = min(LARGEST, (width - room) / across - GAP)
    titles = [[canvas.wrapped(v, side, lines=2) for v in curve.values] for curve in rows]
    heads = [LINE * (1 + max(t.count("\n") for t in of)) + 2 * GAP for of in titles]
    plot, below = 0.68 * width, sum(heads) + len(rows) * side
    figure = canvas.blank(width, plot + below)
    axes = _draw_curves(figure, curves, around, runs)
    axes.set(xlabel=one_line(header(x)), ylabel=one_line(header(y)))
    canvas.fit(axes, 0.02, below + 0.06, width - 0.05, plot + below - 0.05)
    labels = [
        ((run.x, run.y), value)
        for curve in curves
        for run, value in zip(curve.runs, curve.values, strict=True)
        if run is not around
    ]
    canvas.label_points(axes, [at for at, _ in labels], [text for _, text in labels])
    top = plot
    for curve, above, head in zip(rows, titles, heads, strict=True):
        top += head
        _draw_row(figure, curve, above, (room, top, side), around)
        top += side
    return figure


def _draw_curves(
    figure: Figure, curves: Sequence[Line], around: SweptRun, runs: Sequence[SweptRun]
) -> Any:
    axes: Any = figure.add_axes((0.2, 0.5, 0.7, 0.4))
    joined = {id(run) for curve in curves for run in curve.runs}
    others = [run for run in runs if id(run) not in joined]
    axes.plot([r.x for r in others], [r.y for r in others], ".", color=canvas.FAINT, zorder=1)
    for number, curve in enumerate(curves):
        axes.plot(
            [run.x for run in curve.runs],
            [run.y for run in curve.runs],
            **canvas.look(number),
            linestyle="-" if curve.joined else "",
            label=one_line(curve.name),
            zorder=2,
        )
    axes.plot(around.x, around.y, marker="o", color=canvas.INK, markersize=5.5, zorder=3)
    canvas.with_grid(axes)
    axes.legend(loc="best", handlelength=1.6, labelspacing=0.3, borderaxespad=0.2)
    return axes


def _draw_row(
    figure: Figure,
    curve: Line,
    titles: Sequence[str],
    place: tuple[float, float, float],
    around: SweptRun,
) -> None:
    """Draw faces under titles; `place` is left, top and side in inches."""
    left, top, side = place
    width, height = figure.get_size_inches()
    middle = 1 - (top + side / 2) / height
    figure.text(0.02 / width, middle, one_line(curve.name), ha="left", va="center")
    pixels = round(side * canvas.DPI)
    for number, (run, title) in enumerate(zip(curve.runs, titles, strict=True)):
        start = left + number * (side + GAP)
        box = (start / width, 1 - (top + side) / height, side / width, side / height)
        axes: Any = figure.add_axes(box)
        axes.imshow(np.asarray(scaled(run.picture, pixels, 0)), interpolation="none")
        axes.set_axis_off()
        axes.set_title(title, pad=2, fontweight="bold" if run is around else "normal")


def _apart(one: SweptRun, other: SweptRun) -> list[str]:
    """Return the settings in which two runs differ."""
    names = dict.fromkeys((*one.settings, *other.settings))
    return [name for name in names if one.settings.get(name) != other.settings.get(name)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
