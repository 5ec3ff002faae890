"""FFHQ alignment of photographs.

FFHQ's frame (Karras et al. 2019) is a square that follows from four landmarks, the middles of the
eyes and the corners of the mouth. The detector and the 68 landmarks are dlib's, the same that
FFHQ was made with; their weights come inside packages, so that nothing is downloaded.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.core.errors import BenchError
from bench.core.paths import dlib_models, install_command

ALIGNER = "dlib HOG, 68 landmarks, FFHQ frame"
"""Name of the alignment in a plan; another detector is another test set."""

Points = npt.NDArray[np.float64]

DETECTION_SIDE = 640
"""Largest side in pixels for face detection; larger photographs are downscaled."""


def align(image: Image.Image) -> Image.Image | None:
    """Return the largest face of a photograph in FFHQ's frame, at the face's resolution.

    Apply a similarity transform, reflecting the photograph at its borders. Return None if no face
    is found.

    Raises:
        BenchError: the packages of the extra `align` are missing.
    """
    points = landmarks(image)
    if points is None:
        return None
    centre, half = ffhq_frame(points)
    return cut_out(image, centre, half)


def landmarks(image: Image.Image) -> Points | None:
    """Return five points [5, 2], (x, y) in pixels, of the largest face, or None.

    In the order left eye, right eye, nose, left and right corner of the mouth, as seen.
    """
    found = landmarks_68(image)
    return None if found is None else five_points(found)


def five_points(found: Points) -> Points:
    """Reduce 68 landmarks [68, 2] to eye centres, nose tip, and mouth corners."""
    return np.array([found[36:42].mean(0), found[42:48].mean(0), found[30], found[48], found[54]])


def landmarks_68(image: Image.Image) -> Points | None:
    """Return dlib's landmarks [68, 2], (x, y) in pixels, of the largest face, or None.

    Raises:
        BenchError: the packages of the extra `align` are missing.
    """
    detector, predictor = _models()
    reduction = max(1.0, max(image.size) / DETECTION_SIDE)
    size = (round(image.width / reduction), round(image.height / reduction))
    small = image if reduction == 1 else image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(small)
    # Enlarged once, the detector finds faces of 40 px rather than of 80.
    faces = detector(pixels, 1)
    if not faces:
        return None
    shape = predictor(pixels, max(faces, key=lambda face: face.area()))
    found = np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float64)
    # The centre of pixel 0 lies half a pixel from the edge, at either resolution.
    return (found + 0.5) * (image.width / small.width) - 0.5


def ffhq_frame(points: Points) -> tuple[Points, Points]:
    """Return the frame's centre [2], and the vector [2] to the middle of its right edge.

    FFHQ's definition: the horizontal is the mean of two vectors, from eye to eye, and from eyes to
    mouth turned by 90 degrees. Half the side is the larger of twice the distance between the eyes
    and 1.8 times the distance from eyes to mouth. The centre lies a tenth of the way from eyes to
    mouth. The nose is not used.
    """
    left, right, _, mouth_left, mouth_right = points
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, downward = right - left, mouth - eyes
    half = across - np.array([-downward[1], downward[0]])
    half /= np.hypot(*half)
    half *= max(np.hypot(*across) * 2.0, np.hypot(*downward) * 1.8)
    return eyes + 0.1 * downward, half


def cut_out(image: Image.Image, centre: Points, half: Points) -> Image.Image:
    """Crop the rotated square around `centre` with half-side vector `half`.

    One pixel of the result is one of the photograph, so that the transform only interpolates
    (bicubic); reductions come later, with a filter of their own.
    """
    side = max(1, round(2 * float(np.hypot(*half))))
    reach = int(np.ceil(np.abs(half).sum())) + 2  # of the rotated square, and of the filter
    left, top = (int(np.floor(value)) - reach for value in centre)
    right, bottom = (int(np.ceil(value)) + reach + 1 for value in centre)
    pad = (
        (max(0, -top), max(0, bottom - image.height)),
        (max(0, -left), max(0, right - image.width)),
    )
    inside = image.crop(
        (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    )
    padded = np.pad(np.asarray(inside), (*pad, (0, 0)), mode="reflect")
    # Output (u, v), counted from its corner, to the padded photograph, likewise.
    across, down = 2 * half / side, 2 * np.array([-half[1], half[0]]) / side
    origin = centre + 0.5 - np.array([left, top]) - half - np.array([-half[1], half[0]])
    matrix = (across[0], down[0], origin[0], across[1], down[1], origin[1])
    return Image.fromarray(padded).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )


@cache
def _models() -> tuple[Any, Any]:
    try:
        import dlib
    except ImportError:
        dlib = None
    folder = dlib_models()
    if dlib is None or folder is None:
        raise BenchError(f"--align needs missing packages: run `{install_command('align')}`.")
    predictor = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
    return dlib.get_frontal_face_detector(), predictor
