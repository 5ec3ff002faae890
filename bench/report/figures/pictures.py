"""Image grids: methods across, faces down, with an enlarged region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.core.errors import BenchError
from bench.report.figures import canvas
from bench.report.strip import check_columns, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.images import Pixels

GAP = 7  # pixels at 300 dpi
LINE = 1.25  # line spacing in font sizes
SMALLEST = 0.3  # inches; smaller faces are not legible
INSET = 0.48  # side of the inset, as a fraction of the image
SIDE = 0.25  # side of the enlarged region, as a fraction of the image
MIDDLE = (0.15, 0.85)  # extent of an aligned face along each axis

Columns = Sequence[tuple[str, "Sequence[Pixels | None]"]]
"""A label, and an image [S, S, 3] or None per face."""


@dataclass(frozen=True)
class Part:
    """A square region of an image, in fractions of its side."""

    left: float
    top: float
    side: float = SIDE

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom."""
        return self.left, self.top, self.left + self.side, self.top + self.side


Zoom = Part | Literal["different"] | None
"""Enlarged region: fixed, where methods differ most, or none."""


def picture_grid(
    columns: Columns, width: float | None = None, zoom: Zoom = None, math: bool = False
) -> Figure:
    """Draw images under a row of labels; smaller ones are enlarged without interpolation.

    `width` is in inches, else that of a column. With `math`, labels are in Matplotlib's notation of
    formulas.

    Raises:
        BenchError: no images, too many for the width, or one that is not square RGB.
    """
    check_columns(columns)
    width = width or canvas.COLUMN
    total = round(width * canvas.DPI)
    side = (total - (len(columns) - 1) * GAP) // len(columns)
    if side < SMALLEST * canvas.DPI:
        needed = len(columns) * (SMALLEST + GAP / canvas.DPI)
        raise BenchError(
            f"{len(columns)} columns do not fit into {width:g} inches: choose fewer, or "
            f"give --width {needed:.1f} or more."
        )
    names = [name if math else canvas.wrapped(name, side / canvas.DPI) for name, _ in columns]
    font = canvas.SUBSCRIPTED if math else canvas.FONT
    lines = max(name.count("\n") + 1 for name in names)
    header = round(lines * LINE * font / 72 * canvas.DPI) + GAP
    faces = len(columns[0][1])
    size = (total, header + faces * (side + GAP) - GAP)
    figure = canvas.blank(size[0] / canvas.DPI, size[1] / canvas.DPI)
    for x, name in enumerate(names):
        left = x * (side + GAP)
        middle = (left + side / 2) / size[0]
        bottom = 1 - (header - GAP / 2) / size[1]
        figure.text(middle, bottom, name, ha="center", va="bottom", fontsize=font, parse_math=math)
        for y, picture in enumerate(columns[x][1]):
            row = [pictures[y] for _, pictures in columns]
            place = (left, header + y * (side + GAP), side)
            _draw(figure, size, place, picture, row, zoom)
    return figure


def most_different(pictures: Sequence[Pixels | None]) -> Part:
    """Find the square in which images of one face differ most, by variance.

    Only the largest of them count, which leaves the low-resolution input out, and only squares
    within `MIDDLE`, where the face is and not the background.
    """
    there = [picture for picture in pictures if picture is not None]
    largest = max(len(picture) for picture in there)
    stack = np.stack([p.mean(axis=2) for p in there if len(p) == largest])
    side = max(1, round(SIDE * largest))
    sums = np.pad(stack.var(axis=0), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    first, last = round(MIDDLE[0] * largest), round(MIDDLE[1] * largest)
    sums = sums[first : last + 1, first : last + 1]
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    if windows.max() <= 0:
        return Part((1 - SIDE) / 2, (1 - SIDE) / 2)
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return Part(float(first + left) / largest, float(first + top) / largest, side / largest)


def _draw(
    figure: Figure,
    size: tuple[int, int],
    place: tuple[int, int, int],
    picture: Pixels | None,
    row: Sequence[Pixels | None],
    zoom: Zoom,
) -> None:
    """Draw an image with its enlarged region; `place` is left, top and side in pixels."""
    largest = max((len(other) for other in row if other is not None), default=0)
    left, top, side = place
    _paste(figure, size, place, scaled(picture, side, largest))
    if zoom is None or picture is None:
        return
    part = most_different(row) if zoom == "different" else zoom
    inset = round(INSET * side)
    # In the corner that is farthest from the part, so that it hides as little of it as can be.
    right = part.left + part.side / 2 < 0.5
    below = part.top + part.side / 2 < 0.5
    corner = (left + right * (side - inset), top + below * (side - inset), inset)
    axes = _paste(figure, size, corner, scaled(picture, inset, largest, part.box))
    _frame(axes, (0, 0, 1, 1))
    whole = _axes(figure, size, place)
    whole.set(xlim=(0, 1), ylim=(1, 0))
    _frame(whole, (part.left, part.top, part.side, part.side))


def _paste(figure: Figure, size: tuple[int, int], place: tuple[int, int, int], image: Any) -> Any:
    axes = _axes(figure, size, place)
    axes.imshow(np.asarray(image), interpolation="none", extent=(0, 1, 1, 0), aspect="auto")
    return axes


def _axes(figure: Figure, size: tuple[int, int], place: tuple[int, int, int]) -> Any:
    left, top, side = place
    box = (left / size[0], 1 - (top + side) / size[1], side / size[0], side / size[1])
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.patch.set_visible(False)
    return axes


def _frame(axes: Any, place: tuple[float, float, float, float]) -> None:
    """Draw a thin frame, dark around light, which is visible on every image."""
    from matplotlib.patches import Rectangle

    left, top, width, height = place
    for colour, thickness in (("black", 1.4), ("white", 0.6)):
        axes.add_patch(
            Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=thickness)
        )
