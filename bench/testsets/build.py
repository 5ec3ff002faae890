"""From one photograph to the pictures of every test set that is made of it. Pure: no files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from unicodedata import normalize

from bench.core.errors import Refused
from bench.core.files import sha256
from bench.images import Pixels, decode, encode_png
from bench.testsets.align import align
from bench.testsets.degradation import REAL, Parameters, bicubic, degrade
from bench.testsets.manifest import Entry, Plan
from bench.testsets.photographs import Photograph
from bench.testsets.recipe import Box


@dataclass(frozen=True)
class Job:
    """A photograph, and plans that part in their scale alone."""

    photograph: Photograph
    plans: Sequence[Plan]
    parameters: Parameters | None


@dataclass(frozen=True)
class Built:
    """For each plan the entry and its files, name -> PNG; no entries where no face was found."""

    id: str
    entries: tuple[Entry, ...]
    files: tuple[dict[str, bytes], ...]


def build(job: Job) -> Built:
    """Decode, align, crop and reduce once, then degrade and encode for every plan.

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
    hr = None if real else file
    made = [
        _entry(job, hr, file if real else encode_png(_degraded(picture, each, job.parameters)))
        for each in job.plans
    ]
    entries, files = zip(*made, strict=True)
    return Built(photograph.id, entries, files)


def framed(image: Image.Image, size: int, crop: Box, name: str, *, enlarge: bool = False) -> Pixels:
    """Crop by fractions, then to the central square, then bring to [size, size, 3].

    By PIL's bicubic filter. Only what is an input itself may be enlarged, never a ground truth.

    Raises:
        Refused: the crop is smaller than `size`; `name` says of which image.
    """
    left, top, right, bottom = (
        fraction * extent
        for fraction, extent in zip(crop, (image.width, image.height) * 2, strict=True)
    )
    side = min(right - left, bottom - top)
    # 0.64 of 300 px is a trifle less than 192 px in floating point.
    if round(side, 6) < size and not enlarge:
        raise Refused(
            f"{name} has {int(side)} px of use in an image of {image.width} x {image.height}, "
            f"less than the {size} px of the test set: remove it, or give a smaller --size."
        )
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    box = (x, y, x + side, y + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))


def _degraded(hr: Pixels, plan: Plan, parameters: Parameters | None) -> Pixels:
    return bicubic(hr, plan.scale) if parameters is None else degrade(hr, parameters)


def _entry(job: Job, hr: bytes | None, lr: bytes) -> tuple[Entry, dict[str, bytes]]:
    photograph = job.photograph
    hr_name, lr_name = f"hr/{photograph.id}.png", f"lr/{photograph.id}.png"
    entry = Entry(
        id=photograph.id,
        hr=None if hr is None else hr_name,
        lr=lr_name,
        hr_sha256=None if hr is None else sha256(hr),
        lr_sha256=sha256(lr),
        source=normalize("NFC", photograph.source),  # as the id, see `identified`
        source_sha256=sha256(photograph.data),
        parameters=job.parameters,
    )
    return entry, {lr_name: lr} if hr is None else {hr_name: hr, lr_name: lr}
