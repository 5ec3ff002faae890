"""One side of a comparison of preparations: `python -m perf.preparing ours|pil|basicsr 1|3`.

All sides write HR and LR PNGs of the same 640 images (the sample faces, sixteen times) at 1 or 3
scales, from 256 px to 128 px and below. "ours" is `prepare` as the command calls it, with hashes,
manifest, journal and lock. "pil" is the usual loop with Pillow: for each scale open, downsample,
save, downsample again, save. "basicsr" is that loop as BasicSR's scripts prepare pairs: float64,
MATLAB's bicubic filter, one process, one scale after the other; the filter is a product with a
matrix here, which is faster than the original's loops.
"""

import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from bench.core.paths import resource
from bench.testsets.prepare import prepare
from bench.testsets.recipe import Recipe, plan_testset
from bench.testsets.sources import open_source
from perf.measuring import timed

COPIES, SIZE = 16, 128
SCALES = {"1": (8,), "3": (4, 8, 16)}
RECIPE = Recipe("Sample", "", "", "", "", size=SIZE)


def ours(source: Path, out: Path, scales: tuple[int, ...]) -> None:
    """Call `prepare` once for all scales, with a process per CPU."""
    plans = [plan_testset("sample", RECIPE, scale) for scale in scales]
    targets = {out / plan.name: plan for plan in plans}
    prepare(targets, RECIPE, open_source(str(source)), None)


def pil(source: Path, out: Path, scales: tuple[int, ...]) -> None:
    """Loop with Pillow."""
    for scale in scales:
        hr_folder, lr_folder = _folders(out, scale)
        for path in sorted(source.iterdir()):
            image = Image.open(path).convert("RGB")
            hr = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            hr.save(hr_folder / f"{path.stem}.png")
            lr = hr.resize((SIZE // scale, SIZE // scale), Image.Resampling.BICUBIC)
            lr.save(lr_folder / f"{path.stem}.png")


def basicsr(source: Path, out: Path, scales: tuple[int, ...]) -> None:
    """Loop with MATLAB's filter in float64."""
    from bench.diffusion.operators import resize_matrix

    def resized(picture: "np.typing.NDArray[np.float64]", size: int) -> Image.Image:
        matrix = resize_matrix(len(picture), size)
        values = np.einsum("ih,hwc,jw->ijc", matrix, picture, matrix, optimize=True)
        return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))

    for scale in scales:
        hr_folder, lr_folder = _folders(out, scale)
        for path in sorted(source.iterdir()):
            picture = np.asarray(Image.open(path).convert("RGB")).astype(float)
            hr = resized(picture, SIZE)
            hr.save(hr_folder / f"{path.stem}.png")
            lr = resized(np.asarray(hr).astype(float), SIZE // scale)
            lr.save(lr_folder / f"{path.stem}.png")


def _folders(out: Path, scale: int) -> tuple[Path, Path]:
    folders = out / f"hr-{scale}", out / f"lr-{scale}"
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def main(side: str, work: str) -> None:
    """Print the seconds of one side."""
    run = {"ours": ours, "pil": pil, "basicsr": basicsr}[side]
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        source.mkdir()
        for copy in range(COPIES):
            for path in sorted((resource("datasets") / "sample" / "images").glob("*.png")):
                shutil.copy(path, source / f"{path.stem}-{copy}.png")
        outs = (Path(name) / f"out-{number}" for number in itertools.count())
        print(timed(lambda: run(source, next(outs), SCALES[work])))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
