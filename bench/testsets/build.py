"""Build the images of all test sets from one photograph. Pure: no files."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
from PIL import Image

from bench.core.errors import Refused
from bench.core.files import sha256
from bench.images import Measurement, Pixels, decode, encode_png
from bench.testsets.align import align
from bench.testsets.degradation import (
    REAL,
    Parameters,
    along_both_axes,
    bicubic,
    degrade,
    to_levels,
)
from bench.testsets.manifest import Entry, Plan
from bench.testsets.photographs import Photograph
from bench.testsets.recipe import Box

_GRID = 2.0**16


@dataclass(frozen=True)
class Job:
    """A photograph, and plans that differ only in scale."""

    photograph: Photograph
    plans: Sequence[Plan]
    parameters: Parameters | None


@dataclass(frozen=True)
class Built:
    """Entry and files (name -> bytes) per plan; empty if no face was found."""

    id: str
    entries: tuple[Entry, ...]
    files: tuple[dict[str, bytes], ...]


def build_images(job: Job) -> Built:
    """Decode, align, crop and downscale once, then degrade and encode for every plan.

    Raises:
        Refused: the photograph can't be used; it says why.
    """
    photograph, plan = job.photograph, job.plans[0]
    image = decode(photograph.data, photograph.name)
    if plan.aligned:
        aligned = align(image)
        if aligned is None:
            return Built(photograph.id, (), ())
        image = aligned
    real = plan.degradation == REAL
    picture = framed(image, plan.size, plan.crop, photograph.name, enlarge=real)
    file = encode_png(picture)
    made = [_made(job, each, picture, file) for each in job.plans]
    entries, files = zip(*made, strict=True)
    return Built(photograph.id, entries, files)


def framed(image: Image.Image, size: int, crop: Box, name: str, *, enlarge: bool = False) -> Pixels:
    """Crop by fractions, then to the central square, then resize to [size, size, 3].

    Use PIL's bicubic filter. Only images that are inputs may be enlarged, never a ground truth.

    Raises:
        Refused: the crop is smaller than `size`; `name` is the image's name in the message.
    """
    left, top, right, bottom = (
        fraction * extent
        for fraction, extent in zip(crop, (image.width, image.height) * 2, strict=True)
    )
    side = min(right - left, bottom - top)
    # 0.64 of 300 px is a trifle less than 192 px in floating point.
    if round(side, 6) < size and not enlarge:
        raise Refused(
            f"{name} has {int(side)} usable pixels in an image of {image.width} x {image.height}, "
            f"less than the {size} px of the test set: remove it, or give a smaller --size."
        )
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    box = (x, y, x + side, y + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))


def _made(job: Job, plan: Plan, picture: Pixels, file: bytes) -> tuple[Entry, dict[str, bytes]]:
    """Return a plan's entry and files; `file` is the picture as PNG."""
    photograph = job.photograph
    hr, lr = f"hr/{photograph.id}.png", f"lr/{photograph.id}.png"
    measured = f"measured/{photograph.id}.npy"
    if plan.degradation == REAL:
        files = {lr: file}
    elif plan.noise is not None:
        values = measurement(picture, plan, photograph.id)
        buffer = io.BytesIO()
        np.save(buffer, values)
        shown = to_levels((values.astype(np.float64) + 1) * 127.5)
        files = {hr: file, lr: encode_png(shown), measured: buffer.getvalue()}
    elif job.parameters is not None:
        files = {hr: file, lr: encode_png(degrade(picture, job.parameters))}
    else:
        files = {hr: file, lr: encode_png(bicubic(picture, plan.scale))}
    hashes = {name: sha256(data) for name, data in files.items()}
    entry = Entry(
        id=photograph.id,
        hr=hr if hr in files else None,
        lr=lr,
        hr_sha256=hashes.get(hr),
        lr_sha256=hashes[lr],
        source=normalize("NFC", photograph.source),  # as the id, see `identified`
        source_sha256=sha256(photograph.data),
        parameters=job.parameters,
        measurement=measured if measured in files else None,
        measurement_sha256=hashes.get(measured),
    )
    return entry, files


def measurement(hr: Pixels, plan: Plan, image: str) -> Measurement:
    """Return A x + n of an HR image [H, H, 3], with the bicubic A of the zero-shot methods.

    The result is neither rounded to 8 bits nor clipped. Values are multiples of 2^-16, far below
    any noise, so that they do not depend on the order of floating-point additions.
    """
    from bench.diffusion.noise import StreamKey  # brings torch, which bicubic has no use for
    from bench.diffusion.operators import resize_matrix

    matrix = resize_matrix(plan.size, plan.size // plan.scale)
    clean = along_both_axes(matrix, hr.astype(np.float64) / 127.5 - 1)
    # An image's id has no slash, so this is no stream that a sampler draws from.
    noise = StreamKey(plan.seed, f"noise/{image}").generator().standard_normal(clean.shape)
    return (np.round((clean + plan.sigma * noise) * _GRID) / _GRID).astype(np.float32)
