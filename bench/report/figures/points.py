"""Figures made of points: quality against time, and one method against another, face by face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.report.escape import one_line
from bench.report.figures import canvas
from bench.report.layout import DOWN, UP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.report.table import Column


@dataclass(frozen=True)
class Point:
    """A run between two measures."""

    label: str
    x: float
    y: float


def axis_title(column: Column, directed: bool = True) -> str:
    """A metric's name, with its unit and the direction that is better."""
    unit = f" ({column.unit})" if column.unit else ""
    arrow = f" {UP if column.higher_is_better else DOWN}" if directed else ""
    return one_line(f"{column.title}{unit}{arrow}")


def pareto(points: Sequence[Point], quality: Column, width: float | None = None) -> Figure:
    """Quality (y) against seconds per image (x, logarithmic), and the runs that nothing beats.

    These are filled, and a line bounds what they reach.

    Raises:
        BenchError: there are no points.
    """
    if not points:
        raise BenchError("No run has both a value and a time, so there is nothing to draw.")
    width = width or canvas.COLUMN
    figure = canvas.blank(width, 0.72 * width)
    axes = figure.add_axes((0.45 / width, 0.17, 1 - 0.5 / width, 0.8))
    front = pareto_front(points, quality.higher_is_better)
    xs, ys = [p.x for p in front], [p.y for p in front]
    axes.plot(xs, ys, color="0.6", linestyle="--", drawstyle="steps-post", zorder=1)
    for number, point in enumerate(points):
        look = canvas.Look.number(number)
        filled = look.colour if point in front else "white"
        axes.plot(
            point.x,
            point.y,
            marker=look.marker,
            color=look.colour,
            markerfacecolor=filled,
            linestyle="",
        )
    axes.set(xscale="log", xlabel=f"seconds per image {DOWN}", ylabel=axis_title(quality))
    axes.margins(0.15)
    _plain_ticks(axes)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    canvas.label_points(axes, [(p.x, p.y) for p in points], [p.label for p in points])
    return figure


def pareto_front(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    """The points that no other one beats in both measures or in one at equality, quickest first."""
    sign = -1 if higher_is_better else 1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, sign * p.y)):
        equal = front and (point.x, point.y) == (front[-1].x, front[-1].y)
        if not front or sign * point.y < sign * front[-1].y or equal:
            front.append(point)
    return front


def scatter(
    pairs: Sequence[tuple[float, float]],
    labels: tuple[str, str],
    metric: Column,
    width: float | None = None,
) -> Figure:
    """One metric of two methods, a point for each image, with the diagonal where they are equal.

    On either side is counted on how many images that method is better; equal ones are named.

    Raises:
        BenchError: there are no pairs of finite values.
    """
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not finite:
        raise BenchError("The two have no image with a value in common: nothing to draw.")
    width = width or canvas.COLUMN
    figure = canvas.blank(width, width)
    axes = figure.add_axes((0.5 / width, 0.42 / width, 1 - 0.6 / width, 1 - 0.52 / width))
    values = [value for pair in finite for value in pair]
    margin = 0.06 * (max(values) - min(values)) or 0.5
    low, high = min(values) - margin, max(values) + margin
    axes.plot([low, high], [low, high], color="0.5", linestyle="--", linewidth=0.8, zorder=1)
    xs, ys = zip(*finite, strict=True)
    size = 9 if len(finite) <= 200 else 4
    axes.scatter(xs, ys, s=size, color=canvas.COLOURS[0], alpha=0.7, linewidth=0, zorder=2)
    title, (across, up) = axis_title(metric), map(one_line, labels)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    room = width - 0.7
    axes.set_xlabel(canvas.wrapped(f"{title}, {across}", room, lines=1))
    axes.set_ylabel(canvas.wrapped(f"{title}, {up}", room, lines=1))
    above = sum(y > x for x, y in finite)
    equal = sum(y == x for x, y in finite)
    below = len(finite) - above - equal
    upper, lower = (up, across) if metric.higher_is_better else (across, up)
    half = 0.55 * room
    note = f", {equal} equal" if equal else ""
    for place, side, text in (
        ((0.03, 0.97), "left", f"{upper} better: {above}"),
        ((0.97, 0.03), "right", f"{lower} better: {below}{note}"),
    ):
        axes.text(
            *place,
            canvas.wrapped(text, half),
            transform=axes.transAxes,
            ha=side,
            va="top" if side == "left" else "bottom",
        )
    return figure


def _plain_ticks(axes: object) -> None:
    """Numbers as 0.1 and 10 on a logarithmic axis of x, more of them where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis  # type: ignore[attr-defined]
    low, high = axes.get_xlim()  # type: ignore[attr-defined]
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
