"""Write docs/results/determinism.md: differences between batch sizes, threads and devices.

python -m tools.determinism [METHOD ...]

Measure these methods, or all whose networks ship, which takes minutes: sample faces, the embedded
networks, few steps.
"""

import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.core.errors import BenchError
from bench.core.memory import keep_freed_memory
from bench.core.paths import resource
from bench.core.progress import progress
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.models import load_models
from bench.images import Pixels, read_image, resize_bicubic, to_model, to_pixels
from bench.methods import Configured, Problem, find_method, method_names
from bench.methods.authoring.conformance import quick
from bench.testsets.recipe import find_recipe

FILE = Path(__file__).parents[1] / "docs" / "results" / "determinism.md"
SIZE, SCALE, FACES, STEPS = 64, 8, 8, 5

HEAD = """\
# Are results the same everywhere?

**On one machine with one number of threads: yes, byte for byte.** All noise comes from streams that
belong to an image, and there is no other randomness;
[a test](../../tests/engine/test_determinism.py) runs methods twice, in two processes, and compares
the files. run.json records what breaks the promise as `not_promised`, and `bench run` prints it:
nondeterministic GPU kernels, TF32, and external programs that may draw noise of their own.

**Between batch sizes, numbers of threads, and machines: nearly.** Sums are accumulated in a
different order, and a value that lies between two levels may be rounded the other way. A method
that feeds its result back may propagate the difference. Package versions are recorded with each run
for the same reason.
"""

TABLE = """\
## How nearly

Written by `python -m tools.determinism`: {faces} sample faces, {size} px, x{scale}, the embedded
networks, at most {steps} steps where a method lets one choose; PyTorch {torch} on {machine}. Each
cell compares the images with those of the same faces in one batch of {faces} by one thread: PSNR
of the image that differs most, the largest difference of a value in levels of 255, and how many
of the {values:,} values differ. "equal" is equal bytes.
"""


@dataclass(frozen=True)
class Way:
    """One way to compute the same results."""

    name: str
    batch: int = FACES
    threads: int = 1
    device: str = "cpu"


REFERENCE = Way("the same again")
WAYS = (
    REFERENCE,
    Way("batches of 1", batch=1),
    Way("batches of 3", batch=3),
    Way("2 threads", threads=2),
)
GPU = Way("a GPU", device="cuda")


def main(names: Sequence[str]) -> None:
    """Measure these methods, or all that can run, and write the file."""
    keep_freed_memory()
    ways = (*WAYS, GPU) if torch.cuda.is_available() else WAYS
    lr = low_resolution(FACES)
    native = [name for name in method_names() if find_method(name).kind != "external"]
    configured = dict(usable(names or native))
    rows = []
    with progress("Methods", len(configured)) as advance:
        for name, method in configured.items():
            expected = restore(method, lr, REFERENCE)
            found = [difference(expected, restore(method, lr, way)) for way in ways]
            rows.append(f"| {method.method.title} | {' | '.join(found)} |")
            advance(1, name)
    FILE.write_text(page(ways, rows, sorted(set(native) - set(configured))), "utf-8")


def page(ways: Sequence[Way], rows: Sequence[str], left_out: Sequence[str]) -> str:
    """Return the text of the file, given the rows of its table."""
    facts = {
        "faces": FACES,
        "size": SIZE,
        "scale": SCALE,
        "steps": STEPS,
        "values": FACES * SIZE**2 * 3,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    lines = [
        *(HEAD, TABLE.format(**facts)),
        f"| | {' | '.join(way.name for way in ways)} |",
        f"| --- |{' --- |' * len(ways)}",
        *rows,
        "",
        f"Not measured: external programs, and without networks that ship: {', '.join(left_out)}.",
    ]
    if GPU not in ways:
        lines += ["", "A GPU against a CPU is not measured yet: there was none on this machine."]
    return "\n".join(lines) + "\n"


def usable(names: Sequence[str]) -> Iterator[tuple[str, Configured]]:
    """Yield the methods whose networks are available, set to few steps."""
    for name in names:
        configured = quick(find_method(name), SIZE, SCALE, STEPS)
        try:
            load_models(configured, SIZE, {}, torch.device("cpu"))
            configured.fingerprint(SIZE)
        except BenchError:
            continue
        yield name, configured


def low_resolution(count: int) -> Mapping[str, Pixels]:
    """Return the first sample faces by name, cropped and downsampled by the recipe."""
    recipe = find_recipe("sample", Path("nowhere"))
    left, top, right, bottom = recipe.box(SIZE)
    small = {}
    for path in sorted((resource("datasets") / "sample" / "images").glob("*.png"))[:count]:
        face = read_image(path)
        height, width, _ = face.shape
        rows = slice(round(top * height), round(bottom * height))
        face = face[rows, round(left * width) : round(right * width)]
        small[path.stem] = resize_bicubic(face, SIZE // SCALE)
    return small


def restore(configured: Configured, lr: Mapping[str, Pixels], way: Way) -> list[Pixels]:
    """Restore the faces in one way."""
    device = torch.device(way.device)
    before = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    loaded = load_models(configured, SIZE, {}, device)
    names, restored = list(lr), []
    for start in range(0, len(names), way.batch):
        some = names[start : start + way.batch]
        noise = KeyedNoise([StreamKey(0, name) for name in some])
        given = to_model([lr[name] for name in some]).to(device)
        with torch.no_grad():
            restored += to_pixels(
                configured.restore(Problem(given, SCALE, noise, loaded.models, some))
            )
    torch.set_num_threads(before)
    return restored


def difference(expected: Sequence[Pixels], found: Sequence[Pixels]) -> str:
    """Return a cell of the table: how far images are from the expected ones."""
    apart = np.stack(expected).astype(int) - np.stack(found)
    if not apart.any():
        return "equal"
    worst = 10 * math.log10(255**2 / float(np.square(apart).mean(axis=(1, 2, 3)).max()))
    return f"{worst:.1f} dB, {np.abs(apart).max()}, {np.count_nonzero(apart):,}"


if __name__ == "__main__":
    main(sys.argv[1:])
