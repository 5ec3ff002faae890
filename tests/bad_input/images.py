"""Image files that are damaged, oversized or not what their name says."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.core.files import write_bytes
from bench.images import MAX_BYTES, encode_png, read_image
from tests.bad_input.case import PREPARE, Accepted, Refused
from tests.small import picture


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size: int = 16, width: int | None = None) -> Image.Image:
    return Image.fromarray(picture(7, size, width))


def png(width: int, height: int, rows: bytes, depth: int = 8, *further: bytes) -> bytes:
    """Return a PNG with an arbitrary header and arbitrary pixel data."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *further, chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def frames(kind: str) -> bytes:
    first, *others = [Image.fromarray(picture(seed)) for seed in range(3)]
    return encoded(first, kind, save_all=True, append_images=others)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", encode_png(picture()))
    return buffer.getvalue()


def sparse(home: Path) -> None:
    with (home / "photos" / "odd.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)


def put(data: Callable[[], bytes], name: str) -> Callable[[Path], None]:
    return lambda home: write_bytes(home / "photos" / name, data())


def refused(data: Callable[[], bytes], *says: str, name: str = "odd.png") -> Refused:
    return Refused(PREPARE, (f"photos/{name}", *says), put(data, name))


NO_IMAGE = ("can't be read as an image", "remove it")
TOO_LARGE = ("has too many pixels for a face image", "remove it")
STILL = ("holds 3 frames or pages", "give a still image")
DEEP = ("has more than 8 bits per channel", "convert it to 8 bits")
SMALL = ("less than the 16 px of the test set", "remove it, or give a smaller --size")

REFUSED = {
    "no bytes": refused(lambda: b"", *NO_IMAGE),
    "a web page": refused(lambda: b"<!DOCTYPE html><p>404", *NO_IMAGE),
    "a drawing (SVG)": refused(lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", *NO_IMAGE),
    "a film (MP4)": refused(lambda: b"\0\0\0\x18ftypmp42" + bytes(64), *NO_IMAGE),
    "a zip": refused(zipped, *NO_IMAGE),
    "a JPEG's first half": refused(
        lambda: encoded(noise(64), "JPEG")[:1500], *NO_IMAGE, name="odd.jpg"
    ),
    "a PNG's first half": refused(lambda: encode_png(picture(0, 64))[:5000], *NO_IMAGE),
    "a PNG's header alone": refused(lambda: encode_png(picture())[:33], *NO_IMAGE),
    "a flipped bit in a PNG": refused(lambda: flipped(encode_png(picture()), 100), *NO_IMAGE),
    "a flipped bit in a PNG's header": refused(lambda: flipped(encode_png(picture()), 18)),
    "40,000 px wide": refused(lambda: png(40_000, 40_000, b""), *TOO_LARGE),
    "a bomb of pixels": refused(lambda: png(20_000, 20_000, bytes(2**20)), *TOO_LARGE),
    "a bomb of text": refused(
        lambda: png(
            16, 16, bytes(16 * 49), 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**23)))
        ),
        *NO_IMAGE,
    ),
    "a file of 256 MiB": Refused(
        PREPARE, ("photos/odd.png is too large for an image", "remove it"), sparse
    ),
    "an animated GIF": refused(lambda: frames("GIF"), *STILL, name="odd.gif"),
    "an animated WebP": refused(lambda: frames("WEBP"), *STILL, name="odd.webp"),
    "an animated PNG": refused(lambda: frames("PNG"), *STILL),
    "a TIFF of several pages": refused(lambda: frames("TIFF"), *STILL, name="odd.tif"),
    "16 bits of colour": refused(lambda: png(16, 16, bytes(16 * 97), 16), *DEEP),
    "16 bits of grey": refused(
        lambda: encoded(Image.fromarray(np.zeros((16, 16), np.uint16)), "PNG"), *DEEP
    ),
    "floating point": refused(
        lambda: encoded(Image.fromarray(np.zeros((16, 16), np.float32)), "TIFF"),
        *DEEP,
        name="odd.tiff",
    ),
    "1 pixel": refused(lambda: encode_png(picture(0, 1)), "image of 1 x 1", *SMALL),
    "15 px high": refused(lambda: encode_png(picture(0, 15, 90)), "image of 90 x 15", *SMALL),
}


def becomes(
    image: Image.Image, kind: str, shown: Image.Image, name: str = "odd.png", **options: Any
) -> Accepted:
    """Return a case whose photograph is read as a viewer shows it, without loss."""

    def holds(home: Path) -> None:
        made = read_image(home / "testsets" / "new" / "hr" / "odd.png")
        np.testing.assert_array_equal(made, np.asarray(shown))

    return Accepted(PREPARE, put(lambda: encoded(image, kind, **options), name), holds)


def cmyk_jpeg(home: Path) -> None:
    image = Image.new("CMYK", (16, 16), CMYK_GREY)
    write_bytes(home / "photos" / "odd.jpg", encoded(image, "JPEG", quality=100))


def is_grey(home: Path) -> None:
    made = read_image(home / "testsets" / "new" / "hr" / "odd.png")
    # A level or two: JPEG rounds, and each of four channels once more on the way back.
    np.testing.assert_allclose(made.astype(int), 90, atol=2)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    return exif


def half_clear() -> tuple[Image.Image, Image.Image]:
    """Return a black picture whose left half is transparent, and the same over white."""
    shown = np.zeros((16, 16, 3), np.uint8)
    shown[:, :8] = 255
    alpha = Image.fromarray(255 - shown[:, :, 0])
    clear = Image.new("RGB", (16, 16))
    clear.putalpha(alpha)
    return clear, Image.fromarray(shown)


GREY = noise().convert("L")
TWO_LEVELS = noise().convert("1")
PALETTE = noise().quantize(16)
CMYK_GREY = (165, 165, 165, 0)
"""Which is 90 of 255 in RGB."""
CMYK = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

ACCEPTED = {
    "a JPEG called .png": becomes(
        noise(), "JPEG", Image.open(io.BytesIO(encoded(noise(), "JPEG"))).convert("RGB")
    ),
    "a PNG called .jpg": becomes(noise(), "PNG", noise(), "odd.jpg"),
    "a suffix in capitals": becomes(noise(), "PNG", noise(), "odd.PNG"),
    "CMYK": becomes(CMYK, "TIFF", CMYK.convert("RGB"), "odd.tif"),
    "CMYK in a JPEG": Accepted(PREPARE, cmyk_jpeg, is_grey),
    "grey": becomes(GREY, "PNG", GREY.convert("RGB")),
    "black and white": becomes(TWO_LEVELS, "PNG", TWO_LEVELS.convert("RGB")),
    "a palette": becomes(PALETTE, "PNG", PALETTE.convert("RGB")),
    "transparency": becomes(half_clear()[0], "PNG", half_clear()[1]),
    "turned by EXIF": becomes(noise().rotate(90), "PNG", noise(), exif=turned()),
}
