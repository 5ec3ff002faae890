"""Pictures: what is read and how, and what is refused."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench.images
from bench.core.errors import BenchError
from bench.images import (
    Pixels,
    decode,
    encode_png,
    read_image,
)
from tests.small import picture


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> Pixels:
    return np.asarray(decode(data, "x"))


def two_by_one(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), left)
    image.putpixel((1, 0), right)
    return image


def palette() -> Image.Image:
    image = two_by_one("P", 0, 1)
    image.putpalette([10, 20, 30, 200, 100, 0])
    return image


def exif(orientation: int) -> bytes:
    """The EXIF block of a photo with this orientation and nothing else."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            encoded(two_by_one("RGB", (1, 2, 3), (250, 0, 9))), [(1, 2, 3), (250, 0, 9)], id="rgb"
        ),
        pytest.param(encoded(two_by_one("L", 7, 200)), [(7,) * 3, (200,) * 3], id="grey"),
        pytest.param(encoded(two_by_one("1", 0, 1)), [(0,) * 3, (255,) * 3], id="bilevel"),
        pytest.param(
            encoded(two_by_one("LA", (9, 255), (9, 0))), [(9,) * 3, (255,) * 3], id="grey, alpha"
        ),
        pytest.param(encoded(palette()), [(10, 20, 30), (200, 100, 0)], id="palette"),
        pytest.param(
            encoded(palette(), transparency=1),
            [(10, 20, 30), (255,) * 3],
            id="palette, transparent",
        ),
        pytest.param(
            encoded(two_by_one("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6)),
            [(1, 2, 3), (255,) * 3],
            id="rgb, one colour transparent",
        ),
        pytest.param(
            # Over white: 255 * (1 - 51 / 255) = 204, and to it a fifth of the colour.
            encoded(two_by_one("RGBA", (0, 0, 255, 255), (0, 100, 255, 51))),
            [(0, 0, 255), (204, 224, 255)],
            id="rgba over white",
        ),
        pytest.param(
            encoded(two_by_one("CMYK", (0, 0, 0, 0), (255, 0, 0, 0)), "TIFF"),
            [(255,) * 3, (0, 255, 255)],
            id="cmyk",
        ),
        pytest.param(
            encoded(two_by_one("RGB", (1, 2, 3), (250, 0, 9)), "GIF"),
            [(1, 2, 3), (250, 0, 9)],
            id="still gif",
        ),
    ],
)
def test_every_kind_of_still_image_becomes_rgb(
    data: bytes, expected: list[tuple[int, int, int]]
) -> None:
    found = pixels_of(data)
    assert found.dtype == np.uint8
    assert found.tolist() == [[list(colour) for colour in expected]]


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, lambda p: p), (3, lambda p: p[::-1, ::-1]), (6, lambda p: np.rot90(p, -1))],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])  # JPEG would change the pixels
def test_the_orientation_that_a_camera_wrote_is_applied(
    orientation: int, turned: Any, kind: str
) -> None:
    upright = picture(0, 4, width=6)
    data = encoded(Image.fromarray(upright), kind, exif=exif(orientation))
    np.testing.assert_array_equal(pixels_of(data), turned(upright))


def deep_png(colour_type: int) -> bytes:
    """A 16-bit PNG of 2 x 2, which Pillow can read for every colour type and write for one."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    rows = (b"\0" + bytes(range(2 * 2 * channels))) * 2

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    "data",
    [
        *(pytest.param(deep_png(kind), id=f"PNG of type {kind}") for kind in (0, 2, 4, 6)),
        pytest.param(b"P6 2 1 65535\n" + bytes(12), id="PPM"),
        pytest.param(b"P3 1 1 1023\n1 2 3\n", id="plain PPM"),
        pytest.param(encoded(Image.new("F", (2, 2)), "TIFF"), id="floating point"),
        pytest.param(encoded(Image.new("I", (2, 2)), "TIFF"), id="32 bits"),
    ],
)
def test_more_than_8_bits_are_refused(data: bytes) -> None:
    with pytest.raises(BenchError, match=r"x has more than 8 bits per channel: convert it"):
        decode(data, "x")


def test_a_bitmap_of_16_bits_per_pixel_has_no_more_than_8_per_channel() -> None:
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    info = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    body = info + masks + struct.pack("<HH", 0xF800, 0)
    data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 40 + 12) + body
    assert pixels_of(data).tolist() == [[[255, 0, 0]]]


FRAMES = [Image.fromarray(picture(seed)) for seed in range(3)]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(kind: str) -> None:
    data = encoded(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:])
    with pytest.raises(BenchError, match=r"x holds 3 frames or pages: give a still image\."):
        decode(data, "x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(kind: str, kept: float) -> None:
    data = encoded(Image.fromarray(picture(0, 64)), kind)
    with pytest.raises(BenchError, match=r"x can't be read as an image \(.+\): remove it\."):
        decode(data[: int(kept * len(data))], "x")


@pytest.mark.parametrize("data", [b"", b"\0", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BenchError, match="x can't be read as an image"):
        decode(data, "x")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "JPEG"])
def test_damage_anywhere_is_refused_in_our_words_or_read(kind: str) -> None:
    """Pillow's exceptions for it are of many types, and some come after the pixels."""
    several = {} if kind == "JPEG" else {"save_all": True, "append_images": FRAMES[1:]}
    whole = encoded(FRAMES[0], kind, **several)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(1, len(whole))])
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            assert decode(bytes(damaged), "x").mode == "RGB"
        except BenchError as error:
            assert str(error).startswith("x ")  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("limit", [16 * 16 - 1, 16 * 16 // 2 - 1, 1])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Image.Image] = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", loaded.append)
    monkeypatch.setattr(bench.images, "MAX_PIXELS", limit)
    with pytest.raises(BenchError, match="x has too many pixels for a face image"):
        decode(encoded(Image.new("RGB", (16, 16))), "x")
    assert not loaded


def test_pillows_own_warning_of_a_bomb_refuses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (16 * 16 - 1, 16 * 16 // 2 - 1):  # Pillow warns at first, beyond twice it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BenchError, match="x has too many pixels for a face image"):
            decode(encoded(Image.new("RGB", (16, 16))), "x")


def test_a_file_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(picture(1)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture(1))
    with pytest.raises(BenchError, match=r"b\.png can't be read: No such file or directory\."):
        read_image(tmp_path / "b.png")


def test_png_is_lossless_and_the_same_every_time() -> None:
    data = encode_png(picture(2))
    np.testing.assert_array_equal(pixels_of(data), picture(2))
    assert encode_png(picture(2)) == data
