"""Image strip: methods side by side, one face per row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.core.errors import BenchError
from bench.report.renderers.escape import one_line

if TYPE_CHECKING:
    # At run time it would import torch, which a report does not need.
    from bench.images import Pixels

BACKGROUND = (255, 255, 255)
INK = (0, 0, 0)
ABSENT = (225, 225, 225)
SMALLEST_FONT = 11
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def picture_strip(
    columns: "Sequence[tuple[str, Sequence[Pixels | None]]]", tile: int = 128, gap: int = 4
) -> "Pixels":
    """Draw a grid of images under a row of labels, on white.

    Args:
        columns: label and images of each column; image i of every column shows face i. Images are
            square, uint8 RGB, [S, S, 3], or None for a grey tile. In each row, images smaller than
            the largest (the LR inputs) keep their pixels as visible squares; the others are
            resized smoothly.
        tile: side of each image in the grid, in pixels.
        gap: white space between images and around the grid, in pixels.

    Returns:
        uint8 RGB, [H, W, 3].

    Raises:
        BenchError: there is nothing to draw, columns differ in length, or an image has another
            shape or type.
    """
    check_columns(columns)
    faces = len(columns[0][1])
    header = tile // 6 + gap
    width = gap + len(columns) * (tile + gap)
    canvas = Image.new("RGB", (width, header + gap + faces * (tile + gap)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    labels = [one_line(label) for label, _ in columns]
    font = _font(labels, tile)
    for x, label in enumerate(labels):
        middle = (gap + x * (tile + gap) + tile / 2, gap + header / 2)
        draw.text(middle, _shortened(label, font, tile), INK, font, anchor="mm")
    for y in range(faces):
        row = [pictures[y] for _, pictures in columns]
        largest = max((len(picture) for picture in row if picture is not None), default=0)
        for x, picture in enumerate(row):
            place = (gap + x * (tile + gap), header + gap + y * (tile + gap))
            canvas.paste(scaled(picture, tile, largest), place)
    return np.asarray(canvas)


def scaled(
    picture: "Pixels | None",
    side: int,
    largest: int,
    box: tuple[float, float, float, float] = (0, 0, 1, 1),
) -> Image.Image:
    """Resize an image [S, S, 3] to `side` pixels; return grey if there is none.

    An image smaller than the `largest` of its row keeps its pixels as visible squares. `box` crops
    it first (left, top, right, bottom, as fractions).
    """
    if picture is None:
        return Image.new("RGB", (side, side), ABSENT)
    small = len(picture) < largest
    how = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
    left, top, right, bottom = (len(picture) * edge for edge in box)
    return Image.fromarray(picture).resize((side, side), how, box=(left, top, right, bottom))


def _font(labels: Sequence[str], width: int) -> Font:
    """Return the largest font in which every label fits `width`."""
    sizes = range(max(width // 8, SMALLEST_FONT), SMALLEST_FONT, -1)
    fonts = (ImageFont.load_default(size) for size in sizes)
    fitting = (font for font in fonts if all(font.getlength(text) <= width for text in labels))
    return next(fitting, ImageFont.load_default(SMALLEST_FONT))


def _shortened(label: str, font: Font, width: int) -> str:
    shown = label
    while len(shown) > 1 and font.getlength(shown) > width:
        shown = f"{shown.removesuffix(ELLIPSIS)[:-1]}{ELLIPSIS}"
    return shown


def check_columns(columns: "Sequence[tuple[str, Sequence[Pixels | None]]]") -> None:
    """Check that every column has one square RGB image per face.

    Raises:
        BenchError: no columns, or one without such images.
    """
    if not columns or not columns[0][1]:
        raise BenchError("There are no images to draw: name at least one method and one image.")
    for label, pictures in columns:
        if len(pictures) != len(columns[0][1]):
            raise BenchError(
                f"{label} has {len(pictures)} pictures and {columns[0][0]} has"
                f" {len(columns[0][1])}: give every column one for each face."
            )
        for picture in pictures:
            if picture is not None and not _is_square_rgb(picture):
                raise BenchError(
                    f"An image of {label} has shape {picture.shape} and type {picture.dtype}: give"
                    " square uint8 RGB images [S, S, 3]."
                )


def _is_square_rgb(picture: "Pixels") -> bool:
    return (
        picture.dtype == np.uint8
        and picture.ndim == 3
        and picture.shape[2] == 3
        and picture.shape[0] == picture.shape[1] > 0
    )
