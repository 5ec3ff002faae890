"""Small images, test sets and networks for tests."""

from pathlib import Path

import numpy as np

from bench.core.files import write_bytes
from bench.diffusion.sr3 import SR3Config
from bench.diffusion.unet import UNetConfig
from bench.images import Pixels, encode_png
from bench.testsets.manifest import Plan, TestSet
from bench.testsets.prepare import Prepared, prepare
from bench.testsets.recipe import Recipe, plan_testset
from bench.testsets.sources import open_source

TINY_PRIOR = UNetConfig(32, (1, 2), 1, (2,), 32)
TINY_SR3 = SR3Config(16, (1, 2), 1, (2,), norm_groups=8)
TINY_CORRECTOR = UNetConfig(32, (1, 2), 1, (2,), 32, out_channels=3)

RECIPE = Recipe("Tiny", "made by a test", "none", "none", "all of them", size=16)


def picture(seed: int = 0, size: int = 16, width: int | None = None) -> Pixels:
    """Return an image of noise [size, width or size, 3]."""
    shape = (size, width or size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photos(folder: Path, count: int = 4, size: int = 16) -> Path:
    """Write images of noise, face-0.png and so on, and return their folder."""
    for seed in range(count):
        write_bytes(folder / f"face-{seed}.png", encode_png(picture(seed, size)))
    return folder


def prepared(
    plan: Plan, source: Path | str, folder: Path, count: int | None = None, recipe: Recipe = RECIPE
) -> Prepared:
    """Build one test set from a folder or archive in this process."""
    return prepare({folder: plan}, recipe, open_source(str(source)), count, workers=1)[0]


def small_testset(root: Path, count: int = 4, size: int = 16, scale: int = 4) -> TestSet:
    """Prepare a test set of noise images below `root`."""
    plan = plan_testset("tiny", RECIPE, scale, size, "bicubic", seed=0)
    source = photos(root / "photos", count, size)
    return prepared(plan, source, root / "testsets" / plan.name).testset
