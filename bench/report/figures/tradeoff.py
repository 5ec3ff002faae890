"""The figure of a sweep: what each setting does to two measures, and to one face.

As in Figure 7 of DPI's paper, which shows faces alone; the curve is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.report.escape import one_line
from bench.report.figures import canvas
from bench.report.figures.points import axis_title
from bench.report.strip import scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.images import Pixels
    from bench.report.table import Column

Settings = Mapping[str, Any]

GAP = 0.03  # inches
LARGEST = 0.55  # inches: of a face


@dataclass(frozen=True)
class SweptRun:
    """A run of a sweep: its settings, what it is named after, two measures, and one face.

    `variant` is the name of the variant that it is, or "".
    """

    settings: Settings
    x: float
    y: float
    picture: Pixels | None = None
    variant: str = ""


@dataclass(frozen=True)
class Line:
    """The runs that part in one setting alone, in the order of its values."""

    name: str
    runs: tuple[SweptRun, ...]

    def values(self) -> list[str]:
        """Each run's value of the setting."""
        return [shown(run.settings[self.name]) for run in self.runs]


def shown(value: Any) -> str:
    """A setting's value for people."""
    return f"{value:g}" if _is_number(value) else str(value)


def centre(runs: Sequence[SweptRun]) -> SweptRun:
    """The run that the sweep is around: it parts from the most others in a single setting."""

    def neighbours(run: SweptRun) -> int:
        return sum(len(_apart(run, other)) == 1 for other in runs)

    return max(runs, key=neighbours)  # the first of those, where there are several


def lines(runs: Sequence[SweptRun], around: SweptRun) -> list[Line]:
    """For each setting the runs that part from one in that setting alone, and that one."""
    swept: dict[str, list[SweptRun]] = {}
    for run in runs:
        if len(apart := _apart(run, around)) == 1:
            swept.setdefault(apart[0], [around]).append(run)
    return [
        Line(name, tuple(sorted(of, key=lambda run: _size(run.settings[name]))))
        for name, of in swept.items()
    ]


def tradeoff(runs: Sequence[SweptRun], x: Column, y: Column, width: float | None = None) -> Figure:
    """The curve of every setting that was swept, and below it a row of one face for each.

    Curves cross in the run that the sweep is around. Runs that part from it in more than one
    setting, as those of a grid do, are points without a curve.

    Raises:
        BenchError: no two runs part in a single setting.
    """
    around = centre(runs)
    curves = lines(runs, around)
    if not curves:
        raise BenchError(
            "No two runs part in one setting alone, so there is no curve: `bench sweep` makes some."
        )
    rows = [curve for curve in curves if any(run.picture is not None for run in curve.runs)]
    across = max((len(curve.runs) for curve in rows), default=1)
    width = width or canvas.COLUMN
    room = max(canvas.text_width(curve.name) for curve in curves) + 0.08
    side = min(LARGEST, (width - room) / across - GAP)
    line = 1.3 * canvas.FONT / 72
    plot, below = 0.68 * width, len(rows) * (side + line + 2 * GAP)
    height = plot + below
    figure = canvas.blank(width, height)
    axes: Any = figure.add_axes(
        (0.45 / width, (below + 0.42) / height, 1 - 0.5 / width, (plot - 0.47) / height)
    )
    _draw_curves(axes, curves, around, runs)
    axes.set(xlabel=axis_title(x), ylabel=axis_title(y))
    axes.legend(loc="best", handlelength=1.6, labelspacing=0.3, borderaxespad=0.2)
    _label(axes, curves, around)
    for number, curve in enumerate(rows):
        top = plot + number * (side + line + 2 * GAP) + GAP
        _draw_row(figure, curve, (room, top, side, line), around)
    return figure


def _draw_curves(
    axes: Any, curves: Sequence[Line], around: SweptRun, runs: Sequence[SweptRun]
) -> None:
    joined = {id(run) for curve in curves for run in curve.runs}
    for run in runs:
        if id(run) not in joined:
            axes.plot(run.x, run.y, marker=".", color=canvas.FAINT, linestyle="", zorder=1)
    for number, curve in enumerate(curves):
        look = canvas.Look.number(number)
        axes.plot(
            [run.x for run in curve.runs],
            [run.y for run in curve.runs],
            marker=look.marker,
            color=look.colour,
            label=one_line(curve.name),
            zorder=2,
        )
    axes.plot(around.x, around.y, marker="o", color=canvas.INK, markersize=5.5, zorder=3)
    axes.margins(0.12)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def _label(axes: Any, curves: Sequence[Line], around: SweptRun) -> None:
    labels = [
        ((run.x, run.y), value if _is_number(run.settings[curve.name]) else run.variant or value)
        for curve in curves
        for run, value in zip(curve.runs, curve.values(), strict=True)
        if run is not around
    ]
    canvas.label_points(axes, [at for at, _ in labels], [text for _, text in labels])


def _draw_row(
    figure: Figure, curve: Line, place: tuple[float, float, float, float], around: SweptRun
) -> None:
    """Faces with their values above; `place` is left, top, side, and a line's height, in inches."""
    left, top, side, line = place
    width, height = figure.get_size_inches()
    middle = 1 - (top + line + side / 2) / height
    figure.text(0.02 / width, middle, one_line(curve.name), ha="left", va="center")
    pixels = round(side * canvas.DPI)
    for number, (run, value) in enumerate(zip(curve.runs, curve.values(), strict=True)):
        start = left + number * (side + GAP)
        axes: Any = figure.add_axes(
            (start / width, 1 - (top + line + side) / height, side / width, side / height)
        )
        axes.imshow(np.asarray(scaled(run.picture, pixels, 0)), interpolation="none")
        axes.set_axis_off()
        axes.set_title(
            canvas.wrapped(value, side, lines=1),
            pad=2,
            fontweight="bold" if run is around else "normal",
        )


def _apart(one: SweptRun, other: SweptRun) -> list[str]:
    """The settings in which two runs part."""
    names = dict.fromkeys((*one.settings, *other.settings))
    return [name for name in names if one.settings.get(name) != other.settings.get(name)]


def _size(value: Any) -> tuple[bool, float, str]:
    """What sorts values: numbers by their size, before all others."""
    return (False, value, "") if _is_number(value) else (True, 0.0, str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
