"""Images: reading, writing, and conversion between uint8 and [-1, 1].

On disk and at every boundary images are uint8 RGB, [H, W, 3]; inside samplers they are float32,
[B, 3, H, W], in [-1, 1].
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bench.core.errors import BenchError, Refused
from bench.core.files import sha256

if TYPE_CHECKING:  # torch takes a second to import, and only two functions here need it
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.ImageFile import ImageFile
    from torch import Tensor

Pixels = npt.NDArray[np.uint8]

Measurement = npt.NDArray[np.float32]
"""Noisy LR image [h, w, 3] on the range [-1, 1], neither rounded nor clipped."""

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
)

MAX_BYTES = 2**28
"""Largest file in bytes, above an uncompressed image of `MAX_PIXELS`."""

MAX_PIXELS = 80_000_000
"""Most pixels of an image, below Pillow's warning limit."""


def decode(data: bytes, name: str) -> Image.Image:
    """Decode one still image to 8-bit RGB, upright.

    The rules: the EXIF orientation is applied; grey is repeated over the channels; a palette and
    CMYK are converted; transparency is laid over white, as a viewer shows it. Refused are files
    with several frames, 16-bit and floating-point images, more than `MAX_PIXELS`, and whatever
    can't be decoded to its end.

    Raises:
        Refused: with `name` and the reason.
    """
    try:
        opened = Image.open(io.BytesIO(data))
        if opened.width * opened.height > MAX_PIXELS:  # known before a pixel is decoded
            raise Image.DecompressionBombError
        deep = _is_deep(opened)
        opened.load()
        frames = getattr(opened, "n_frames", 1)
        image: Image.Image = ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(f"{name} has too many pixels for a face image: remove it.") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise a wide variety of types
        raise Refused(f"{name} can't be read as an image ({error}): remove it.") from None
    if frames > 1:
        raise Refused(f"{name} holds {frames} frames or pages: give a still image.")
    if deep:
        raise Refused(f"{name} has more than 8 bits per channel: convert it to 8 bits.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def _is_deep(image: ImageFile) -> bool:
    """Return True if a file has more than 8 bits per channel, which Pillow may drop."""
    for tile in image.tile:
        raw, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if re.search(";16[BLN]", str(raw)) or (tile.codec_name.startswith("ppm") and rest[0] > 255):
            return True
    return image.mode.startswith(("I", "F"))


def read_image(path: Path, digest: str | None = None) -> Pixels:
    """Read an image file as [H, W, 3], verifying its SHA-256 `digest` if given.

    Raises:
        BenchError: the file is missing or has changed, or `decode` refuses it.
    """
    data = image_bytes(path)
    if digest not in (None, sha256(data)):
        raise BenchError(f"{path} has changed since it was written: `bench verify` tells what has.")
    return np.asarray(decode(data, str(path)))


def image_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        BenchError: the file can't be read, or is larger than any image.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Refused(f"{path} is too large for an image: remove it.")
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}.") from None


def png_size(path: Path) -> tuple[int, int]:
    """Return width and height from a PNG header; meaningless for other files."""
    with path.open("rb") as file:
        header = file.read(24)  # a signature, the length and name of the first chunk, and these
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])


def encode_png(pixels: Pixels) -> bytes:
    """Encode [H, W, 3] as PNG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    # zlib's fastest level: a third of the default's time for a tenth more bytes.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def resize_bicubic(pixels: Pixels, size: int) -> Pixels:
    """Resize to [size, size, 3] with PIL's antialiased bicubic filter, rounded to 8 bits.

    This is how the paper's loader makes low-resolution inputs and brings them up again.
    """
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def resize_bicubic_batch(images: Tensor, size: int) -> Tensor:
    """Apply `resize_bicubic` to a batch [B, 3, h, w] in [-1, 1], through 8 bits."""
    return to_model([resize_bicubic(p, size) for p in to_pixels(images)]).to(images.device)


def to_model(pictures: Sequence[Pixels | Measurement]) -> Tensor:
    """Convert images [H, W, 3] of one size to a batch [B, 3, H, W] float32 in [-1, 1].

    Measurements are taken as they are.
    """
    import torch

    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    if stacked.dtype == torch.float32:
        return stacked.contiguous()
    return stacked.float() / 127.5 - 1


def to_pixels(images: Tensor) -> list[Pixels]:
    """Convert [B, 3, H, W] to images [H, W, 3]: clipped to [-1, 1], rounded to 8 bits."""
    import torch

    scaled = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy())
