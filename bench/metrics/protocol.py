"""Measurement protocols: image encoding and metric settings.

strict: images are measured as stored, each metric gets what its authors define.
paper: what the scripts released with DPI do, for comparison with printed tables and nothing else.
daps: LPIPS-VGG with average pooling, as piq has it: eval.py of DAPS (083ebc0), InverseBench.
pnp-dm: LPIPS-VGG on [0, 1], as posterior_sample.py of PnP-DM (83074f3) feeds taming-transformers'.
What that changes is explained in docs/reference/metrics.md, with figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import features

from bench.core.errors import WrongUsage
from bench.images import Pixels
from bench.testsets.degradation import jpeg

Name = Literal["strict", "paper", "daps", "pnp-dm"]

QUALITY = 75  # Pillow's default, which subsamples colours 4:2:0

PAPER_JPEG = frozenset({"celeba"})
"""Recipes whose results the released scripts save as JPEG; others as PNG."""


@dataclass(frozen=True)
class Protocol:
    """Measurement protocol; `jpeg`: compress results as JPEG before measuring."""

    name: Name
    jpeg: bool = False


STRICT = Protocol("strict")


def protocols(choice: str, recipe: str) -> Sequence[Protocol]:
    """Return the named protocol, or strict and paper for "both", for a test set of a recipe.

    Raises:
        WrongUsage: another name.
    """
    paper = Protocol("paper", jpeg=recipe in PAPER_JPEG)
    chosen = {
        "strict": (STRICT,),
        "paper": (paper,),
        "both": (STRICT, paper),
        "daps": (Protocol("daps"),),
        "pnp-dm": (Protocol("pnp-dm"),),
    }
    if choice not in chosen:
        raise WrongUsage(f"There is no protocol {choice!r}: choose {' or '.join(chosen)}.")
    return chosen[choice]


def jpeg_identity() -> str:
    """Describe the JPEG settings, for identities."""
    return f"JPEG quality {QUALITY} 4:2:0, libjpeg {features.version('jpg')}"


def through_jpeg(pixels: Pixels) -> Pixels:
    """Return an image [H, W, 3] after JPEG at quality 75 and 4:2:0."""
    return jpeg(pixels, QUALITY)
