"""The picture strip: what is where, pixel by pixel."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import BenchError
from bench.report.strip import picture_strip

Pixels = npt.NDArray[np.uint8]

TILE, GAP = 64, 4
HEADER = TILE // 6 + GAP


def picture(size: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def tile_at(strip: Pixels, x: int, y: int) -> Pixels:
    top, left = HEADER + GAP + y * (TILE + GAP), GAP + x * (TILE + GAP)
    return strip[top : top + TILE, left : left + TILE]


def label_at(strip: Pixels, x: int) -> Pixels:
    left = GAP + x * (TILE + GAP)
    return strip[: HEADER + GAP, left : left + TILE]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3))
def test_the_grid_has_a_column_per_method_and_a_row_per_face(columns: int, faces: int) -> None:
    made = [(str(x), [picture(TILE, 10 * x + y) for y in range(faces)]) for x in range(columns)]
    strip = picture_strip(made, tile=TILE, gap=GAP)
    assert strip.dtype == np.uint8
    assert strip.shape == (
        HEADER + GAP + faces * (TILE + GAP),
        GAP + columns * (TILE + GAP),
        3,
    )
    for x, (_, pictures) in enumerate(made):
        for y, expected in enumerate(pictures):
            np.testing.assert_array_equal(tile_at(strip, x, y), expected)


def test_low_resolution_keeps_its_pixels_as_squares() -> None:
    low = picture(8)
    strip = picture_strip([("LR", [low]), ("GT", [picture(TILE)])], tile=TILE, gap=GAP)
    np.testing.assert_array_equal(tile_at(strip, 0, 0), np.kron(low, np.ones((8, 8, 1), np.uint8)))


def test_full_resolution_is_resized_smoothly() -> None:
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[:, 16:] = 200
    strip = picture_strip([("GT", [edge])], tile=TILE, gap=GAP)
    values = set(np.unique(tile_at(strip, 0, 0)))
    assert {0, 200} < values


def test_a_missing_picture_is_grey_and_the_rest_is_white() -> None:
    strip = picture_strip([("A", [None, picture(TILE)]), ("", [None, None])], TILE, GAP)
    assert np.unique(tile_at(strip, 0, 0)).tolist() == [225]
    assert (strip[:, :GAP] == 255).all()
    assert (strip[:, TILE + GAP : TILE + 2 * GAP] == 255).all()
    assert (strip[-GAP:] == 255).all()


def test_labels_are_drawn_over_their_own_column_only() -> None:
    black = [np.zeros((TILE, TILE, 3), np.uint8)]
    long = "A method whose title is far too long"
    strip = picture_strip([("", black), (long, black), ("", black)], tile=TILE, gap=GAP)
    assert (label_at(strip, 0) == 255).all()
    assert (label_at(strip, 2) == 255).all()
    assert label_at(strip, 1).min() < 64
    assert (strip[: HEADER + GAP, TILE + GAP : TILE + 2 * GAP] == 255).all()


def test_different_labels_look_different_and_a_label_is_one_line() -> None:
    def header(label: str) -> Pixels:
        return label_at(picture_strip([(label, [picture(TILE)])], TILE, GAP), 0)

    assert (header("DPI") != header("DDNM")).any()
    np.testing.assert_array_equal(header("DPI x"), header("DPI\nx"))


def test_pictures_given_are_not_changed_and_the_result_is_repeatable() -> None:
    given_picture = picture(32)
    before = given_picture.copy()
    first = picture_strip([("A", [given_picture])])
    np.testing.assert_array_equal(first, picture_strip([("A", [given_picture])]))
    np.testing.assert_array_equal(given_picture, before)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "no images"),
        ([("A", [])], "no images"),
        ([("A", [picture(8)]), ("B", [])], "B has 0 pictures and A has 1"),
        ([("A", [np.zeros((8, 9, 3), np.uint8)])], r"\(8, 9, 3\) and type uint8"),
        ([("A", [np.zeros((8, 8), np.uint8)])], r"\(8, 8\) and type uint8"),
        ([("A", [np.zeros((8, 8, 3), np.float32)])], "float32"),
        ([("A", [np.zeros((0, 0, 3), np.uint8)])], r"\(0, 0, 3\)"),
    ],
)
def test_what_can_not_be_drawn_is_refused(
    columns: list[tuple[str, list[Pixels | None]]], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        picture_strip(columns)
