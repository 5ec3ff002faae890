"""What all figures share: their look, the colours, where labels go, and how they are saved."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, WrongUsage
from bench.report.escape import one_line
from bench.resources import missing_packages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.25
"""Inches: the width of one of two columns of a paper."""

FONT = 7.0
SUBSCRIPTED = FONT / 0.7  # with this size Matplotlib's subscripts are not below the other
DPI = 300
SUFFIXES = (".pdf", ".png")

INK = "black"
FAINT = "0.75"
# Okabe and Ito (2008), "Color Universal Design": told apart with any colour vision. Their yellow is
# left out, which is too light for a thin line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same on every machine
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "text.parse_math": False,  # a dollar in a method's title is a dollar
    "text.usetex": False,
    "pdf.fonttype": 42,  # whole TrueType fonts, which publishers ask for
    "svg.hashsalt": "bench",
}


@dataclass(frozen=True)
class Look:
    """How one thing is drawn everywhere in a figure; by shape too, for prints without colour."""

    colour: str
    marker: str

    @classmethod
    def number(cls, index: int) -> Look:
        """The look of the first, second and so on; no two of the first 56 are alike."""
        return cls(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with our style, and as it was before when this ends.

    Raises:
        BenchError: it is not installed.
    """
    require()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever a user's matplotlibrc says, a figure looks the same
        mpl.rcParams.update(STYLE)
        yield


def require() -> None:
    """Make sure that figures can be drawn.

    Raises:
        BenchError: a package is missing, with the command that installs it.
    """
    if missing := missing_packages("figures", "matplotlib"):
        raise BenchError(f"Figures can't be drawn: {missing}.")


def check_name(path: Path) -> None:
    """Make sure that a figure can be saved under a name, before any work.

    Raises:
        WrongUsage: its suffix says neither PDF nor PNG.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise WrongUsage(f"{path} must end in {' or '.join(SUFFIXES)}, which says its format.")


def encode(figure: Figure, suffix: str) -> bytes:
    """The file of a figure; the same figure gives the same bytes, today and tomorrow."""
    undated: dict[str, dict[str, str | None]] = {
        ".pdf": {"CreationDate": None},
        ".png": {"Software": None},
    }
    kind = suffix.lower()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind.removeprefix("."), dpi=DPI, metadata=undated[kind])
    return buffer.getvalue()


def blank(width: float, height: float) -> Figure:
    """A white figure of a size in inches; it belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="none")
    FigureCanvasAgg(figure)
    return figure


def text_width(text: str, size: float = FONT) -> float:
    """Inches that a line of text takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family=STYLE["font.family"])
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) / 72


def wrapped(label: str, width: float, lines: int = 3) -> str:
    """A label in at most so many lines of `width` inches; what is too long ends in dots."""
    label = one_line(label)
    characters = len(label)
    while characters > 1:
        kept = textwrap.wrap(
            label, characters, max_lines=lines, placeholder="\N{HORIZONTAL ELLIPSIS}"
        )
        if all(text_width(line) <= width for line in kept):
            return "\n".join(kept)
        characters -= 1
    return "\N{HORIZONTAL ELLIPSIS}"


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], **style: Any
) -> None:
    """Write a label beside each point, where it hides no other point or label, if there is room.

    The places around a point are tried in turn, the nearest first; in data coordinates, so the
    limits of the axes must be set before.
    """
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    renderer = figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    unit = DPI / 72  # pixels in a point
    marks = [
        Bbox.from_bounds(x - 2 * unit, y - 2 * unit, 4 * unit, 4 * unit)
        for x, y in axes.transData.transform(points)
    ]
    taken: list[Bbox] = []
    sides = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for point, label in zip(points, labels, strict=True):
        best: tuple[float, Any, Bbox] | None = None
        for distance in (4, 9):
            for x, y in sides:
                note = axes.annotate(
                    one_line(label),
                    point,
                    xytext=(distance * x, distance * y),
                    textcoords="offset points",
                    ha={1: "left", 0: "center", -1: "right"}[x],
                    va={1: "bottom", 0: "center", -1: "top"}[y],
                    annotation_clip=False,
                    bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
                    arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkB": 2},
                    **style,
                )
                box = note.get_window_extent(renderer)
                cost = sum(_shared(box, other) for other in (*marks, *taken))
                cost += box.width * box.height - _shared(box, frame)
                if best is None or cost < best[0] - 1e-9:
                    if best:
                        best[1].remove()
                    best = (cost, note, box)
                else:
                    note.remove()
        if best:
            taken.append(best[2])


def _shared(one: Any, other: Any) -> float:
    """Area that two boxes share, in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0) * max(height, 0))
