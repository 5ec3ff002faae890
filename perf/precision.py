"""`python -m perf.precision FOLDER [FACES]`: what a reduced precision does to results, as Markdown.

Each method restores the first faces of a prepared test set with the embedded networks in 50 steps,
in float32 and in each reduced precision, on the same noise. Printed is the PSNR of the reduced
result against that in float32: the lowest and the mean over the faces. The table in
docs/performance.md is its output.
"""

import sys
from pathlib import Path
from typing import get_args

import numpy as np

from bench.config import Precision
from bench.engine.experiment import Experiment, assign
from bench.engine.models import choose_device
from bench.engine.work import Unit
from bench.engine.worker import Worker
from bench.images import Pixels
from bench.metrics.pixel import psnr
from bench.testset.manifest import TestSet, open_testset

SETTINGS = {
    "ilvr": {"steps": 50, "range_t": 10},
    "ddnm": {"steps": 50},
    "dpi": {"steps": 50, "tau": 200},
}
HEAD = """\
| method | precision | lowest (dB) | mean (dB) |
| --- | --- | --- | --- |"""


def restored(method: str, precision: Precision, testset: TestSet, faces: int) -> list[Pixels]:
    """The first faces as a method restores them, all in one batch."""
    images = tuple(testset.entries)[:faces]
    experiment = Experiment(testset, testset.folder.parent, SETTINGS, precision=precision)
    assignment = assign(method, experiment)
    worker = Worker(assignment, choose_device())
    outcome = worker.restore(Unit(images, tuple(testset.lr(image) for image in images)))
    pictures = {i: p for part in outcome.restored for i, p in part.pictures.items()}
    return [pictures[image] for image in images]


def main(folder: str, faces: int = 4) -> None:
    """Print a row per method and reduced precision."""
    testset = open_testset(Path(folder))
    print(HEAD)
    for method in SETTINGS:
        reference = restored(method, "float32", testset, faces)
        for precision in get_args(Precision)[1:]:
            pairs = zip(restored(method, precision, testset, faces), reference, strict=True)
            values = [psnr(picture, original) for picture, original in pairs]
            print(f"| {method} | {precision} | {min(values):.1f} | {np.mean(values):.1f} |")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
