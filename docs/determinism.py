"""Write docs/determinism.md: how far results differ between batch sizes, threads and devices.

python -m docs.determinism [METHOD ...]

Of these methods, or of all whose networks ship, which takes minutes. The faces are samples, the
networks the embedded ones, the steps few.
"""

import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.config import Weights
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.models import load_models
from bench.errors import BenchError
from bench.images import Pixels, read_image, resize_bicubic, to_model, to_pixels
from bench.memory import keep_freed_memory
from bench.method import Configured, Problem, configure, find_method, method_names
from bench.progress import progress
from bench.resources import resource
from bench.testset.recipe import find_recipe

FILE = Path(__file__).with_name("determinism.md")
SIZE, SCALE, FACES, STEPS = 64, 8, 8, 5

HEAD = """\
# Are results the same everywhere?

**On one machine with one number of threads: yes, byte for byte.** All noise comes from streams that
belong to an image, and nothing else is drawn; [a test](../tests/test_determinism.py) runs methods
twice, in two processes, and compares the files. What breaks the promise is recorded in run.json as
`not_promised`, and `bench run` says it: kernels of a GPU that add up in any order, TF32, and
programs of others that may draw noise of their own.

**Between batch sizes, numbers of threads, and machines: nearly.** Sums are taken in another order,
and a value that lies between two levels may be rounded the other way. A method that feeds its
result back may carry that on. Versions of packages are recorded with each run for the same reason.
"""

TABLE = """\
## How nearly

Written by `python -m docs.determinism`: {faces} sample faces, {size} px, x{scale}, the embedded
networks, {steps} steps where a method lets one choose; PyTorch {torch} on {machine}. Each cell
holds pictures against those of the same faces in one batch of {faces} by one thread: the PSNR of
the picture that differs most, the largest difference of a value in levels of 255, and how many of
the {values:,} values differ at all. "equal" is equal bytes.
"""


@dataclass(frozen=True)
class Way:
    """One way of computing the same thing."""

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
    """Measure these methods, or all that can be, and write the file."""
    keep_freed_memory()
    ways = (*WAYS, GPU) if torch.cuda.is_available() else WAYS
    lr = low_resolution(FACES)
    configured = dict(usable(names or method_names()))
    rows = []
    with progress("Methods", len(configured)) as advance:
        for name, method in configured.items():
            expected = restore(method, lr, REFERENCE)
            found = [difference(expected, restore(method, lr, way)) for way in ways]
            rows.append(f"| {method.method.title} | {' | '.join(found)} |")
            advance(1, name)
    FILE.write_text(page(ways, rows, sorted(set(method_names()) - set(configured))), "utf-8")


def page(ways: Sequence[Way], rows: Sequence[str], left_out: Sequence[str]) -> str:
    """The whole file, of the rows of its table."""
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
        f"Not measured yet, or without networks that ship: {', '.join(left_out)}.",
    ]
    if GPU not in ways:
        lines += ["", "A GPU against a CPU is not measured yet: there was none on this machine."]
    return "\n".join(lines) + "\n"


def usable(names: Sequence[str]) -> Iterator[tuple[str, Configured]]:
    """The methods whose networks are here, with few steps."""
    for name in names:
        method = find_method(name)
        steps = {"steps": STEPS} if hasattr(method.settings(SCALE), "steps") else {}
        configured = configure(method, SCALE, SIZE, {name: steps})
        try:
            load_models(configured, SIZE, Weights(), torch.device("cpu"))
            configured.fingerprint(SIZE)
        except BenchError:
            continue
        yield name, configured


def low_resolution(count: int) -> Mapping[str, Pixels]:
    """The first sample faces by name, cropped and reduced as the recipe says."""
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
    """The faces, restored in one way."""
    device = torch.device(way.device)
    before = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    loaded = load_models(configured, SIZE, Weights(), device)
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
    """A cell: how far pictures are from what they were expected to be."""
    apart = np.stack(expected).astype(int) - np.stack(found)
    if not apart.any():
        return "equal"
    worst = 10 * math.log10(255**2 / float(np.square(apart).mean(axis=(1, 2, 3)).max()))
    return f"{worst:.1f} dB, {np.abs(apart).max()}, {np.count_nonzero(apart):,}"


if __name__ == "__main__":
    main(sys.argv[1:])
