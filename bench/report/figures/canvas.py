"""Shared parts of figures: style, colours, labels, saving."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import missing_packages
from bench.report.renderers.escape import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

COLUMN = 3.25
"""Width of one of two columns in inches."""

FONT = 7.0
SUBSCRIPTED = FONT / 0.7  # with this size Matplotlib's subscripts are not below the other
DPI = 300
SUFFIXES = (".pdf", ".png")

# Candidate positions of a label: distance from its point in pt, and direction (right, up).
PLACES = tuple(
    (distance, x, y)
    for distance in (4, 10, 18)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
)

DOTS = "\N{HORIZONTAL ELLIPSIS}"
INK = "black"
FAINT = "0.75"
# Okabe and Ito (2008), "Color Universal Design": told apart with any colour vision. Their yellow is
# left out, which is too light for a thin line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same on every machine
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "text.parse_math": False,  # a dollar sign in a method's title is no mathematics
    "pdf.fonttype": 42,  # fonts embedded as TrueType, as publishers ask for
}


def look(index: int) -> dict[str, str]:
    """Return colour and marker of a series, as Matplotlib's arguments; the first 56 are distinct.

    Markers differ for prints without colour.
    """
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


@contextmanager
def drawing() -> Iterator[None]:
    """Apply bench's Matplotlib style within a block.

    Raises:
        BenchError: Matplotlib is not installed.
    """
    require()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # the same figure whatever the user's matplotlibrc says
        mpl.rcParams.update(STYLE)
        yield


def require() -> None:
    """Check that figures can be drawn.

    Raises:
        BenchError: a package is missing, with the command that installs it.
    """
    if missing := missing_packages("figures", "matplotlib"):
        raise BenchError(f"Figures can't be drawn: {missing}.")


def check_name(path: Path) -> None:
    """Check that a figure can be saved under a name.

    Raises:
        WrongUsage: its suffix says neither PDF nor PNG.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise WrongUsage(f"{path} must end in {' or '.join(SUFFIXES)}, which says its format.")


def encode(figure: Figure, suffix: str) -> bytes:
    """Encode a figure deterministically."""
    undated: dict[str, dict[str, str | None]] = {
        ".pdf": {"CreationDate": None},
        ".png": {"Software": None},
    }
    kind = suffix.lower()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind.removeprefix("."), dpi=DPI, metadata=undated[kind])
    return buffer.getvalue()


def blank(width: float, height: float) -> Figure:
    """Return a white figure of a size in inches, without global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def with_grid(axes: Axes) -> None:
    """Add margins around the points, and a light grid behind them."""
    axes.margins(0.12)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def text_width(text: str) -> float:
    """Return the width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family=STYLE["font.family"])
    return float(TextPath((0, 0), text, size=FONT, prop=font).get_extents().x1) / 72


def wrapped(label: str, width: float, lines: int = 3) -> str:
    """Wrap a label to at most `lines` lines of `width` inches, with an ellipsis if cut."""
    label = one_line(label)
    for characters in range(max(len(label), 1), 1, -1):
        kept = textwrap.wrap(label, characters, max_lines=lines, placeholder=DOTS)
        if all(text_width(line) <= width for line in kept):
            return "\n".join(kept)
    return label if text_width(label) <= width else DOTS


def fit(axes: Axes, left: float, bottom: float, right: float, top: float) -> None:
    """Fit axes with their titles into a rectangle in inches.

    How wide numbers are shows only when they are drawn, so the limits must be set before.
    """
    figure: Any = axes.figure
    width, height = figure.get_size_inches()
    frame = [left + 0.4, bottom + 0.4, right, top]
    for _ in range(3):  # other ticks may come with another size
        x0, y0, x1, y1 = frame
        axes.set_position((x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height))
        tight: Any = axes.get_tightbbox(figure.canvas.get_renderer())
        frame[0] += left - tight.x0 / DPI
        frame[1] += bottom - tight.y0 / DPI
        frame[2] += right - tight.x1 / DPI
        frame[3] += top - tight.y1 / DPI


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]
) -> list[Annotation]:
    """Label each point that has room; return the labels.

    Positions around a point are tried nearest first. A label must lie within the axes, cover no
    other point, label or legend, and, unless a line connects it, be less than half as far from its
    own point as from any other. Set the position and limits of the axes first.
    """
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    mark = 2 * DPI / 72  # pixels from the middle of a point to its edge
    middles = axes.transData.transform(points)
    taken = [Bbox.from_extents(x - mark, y - mark, x + mark, y + mark) for x, y in middles]
    if legend := axes.get_legend():
        taken.append(legend.get_window_extent(renderer))
    written = []
    for index, (point, label) in enumerate(zip(points, labels, strict=True)):
        for distance, x, y in PLACES:
            note = _note(axes, one_line(label), point, distance, x, y)
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer)  # without the line that leads to it
            near = [_distance(box, middle) for middle in middles]
            clear = distance > PLACES[0][0] or all(
                other > 2 * near[index] for other in near[:index] + near[index + 1 :]
            )
            if clear and _within(box, frame) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                written.append(note)
                break
            note.remove()
    return written


def _note(
    axes: Axes, label: str, point: tuple[float, float], distance: int, x: int, y: int
) -> Annotation:
    """Draw a label beside a point, with a line to it if it is far."""
    line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
    return axes.annotate(
        label,
        point,
        xytext=(distance * x, distance * y),
        textcoords="offset points",
        ha={1: "left", 0: "center", -1: "right"}[x],
        va={1: "bottom", 0: "center", -1: "top"}[y],
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.3},
        arrowprops=line if distance > PLACES[0][0] else None,
    )


def _distance(box: Bbox, point: tuple[float, float]) -> float:
    """Return the distance from a point to the nearest point of a box."""
    x, y = point
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _within(box: Bbox, frame: Bbox) -> bool:
    return bool(
        box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
    )
