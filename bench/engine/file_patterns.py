"""Match the file names of other programs to image ids.

A pattern such as "restored_faces/{image}_00" is a path without its suffix, in which {image} stands
for the image's id.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from unicodedata import normalize

from bench.core.errors import WrongUsage

IMAGE = "{image}"


def match_files(pattern: str, files: Iterable[str]) -> dict[str, str]:
    """Return image id -> file for the files that the pattern matches.

    Raises:
        WrongUsage: the pattern does not have {image} once, or two files are of one image.
    """
    if pattern.count(IMAGE) != 1:
        raise WrongUsage(
            f"--pattern {pattern!r} must contain {IMAGE} exactly once, such as '{IMAGE}_00'."
        )
    before, after = map(re.escape, pattern.split(IMAGE))
    form = re.compile(f"{before}(.+){after}", re.DOTALL)
    found: dict[str, str] = {}
    for file in files:
        if (matched := form.fullmatch(_stem(file))) is None:
            continue
        image = normalize("NFC", matched[1].replace("/", "__"))
        if image in found:
            raise WrongUsage(
                f"{found[image]} and {file} both match image {image} in the pattern {pattern!r}: "
                "remove one of them."
            )
        found[image] = file
    return found


def guess_pattern(images: Sequence[str], files: Mapping[str, str]) -> str | None:
    """Return the pattern, other than {image}, that matches most images; None if none matches.

    `files` maps ids made from the file names to files. In a tie, the pattern found first wins.
    """
    counts: dict[str, int] = {}
    known = sorted(images, key=len, reverse=True)  # 10 before 1
    for file in files.values():
        stem = _stem(file)
        image = next((image for image in known if image in stem), None)
        if image is not None:
            before, _, after = stem.rpartition(image)
            pattern = f"{before}{IMAGE}{after}"
            counts[pattern] = counts.get(pattern, 0) + 1
    counts.pop(IMAGE, None)
    return max(counts, key=lambda pattern: counts[pattern]) if counts else None


def _stem(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))
