"""`python -m perf.harness [IMAGES]`: what the harness itself costs, on many tiny images.

`python -m perf.harness share`: the same beside the sampling of DDNM, at 64 px.

Bicubic at 8 px takes next to no time, so that what is measured is reading, hashing, encoding,
writing and recording. Each step is a process of its own, as a user's command is. Printed per step,
as Markdown: seconds, milliseconds of processor time per image (the figure to compare where other
work shares the machine), and the most memory; of the run also how much of that came in its second
half, which is about nothing where memory does not grow with the images.
"""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import metrics
from bench.engine.experiment import Experiment
from bench.engine.run import run_method
from bench.files import write_bytes
from bench.images import encode_png
from bench.memory import keep_freed_memory
from bench.metrics.scoring import score_runs
from bench.report import collect
from bench.report.runs import find_runs
from bench.testset.manifest import Plan, TestSet, open_testset
from bench.testset.prepare import prepare
from bench.testset.recipe import Recipe, plan_testset
from bench.testset.sources import open_source

RECIPE = Recipe("Tiny", "", "", "", "", size=8)
PLAN = plan_testset("tiny", RECIPE, 4)
SAMPLED = 0.05  # seconds between looks at the memory


def make(folder: Path, images: int, recipe: Recipe = RECIPE, plan: Plan = PLAN) -> None:
    """A test set of pictures of noise."""
    generator = np.random.default_rng(0)
    for index in range(images):
        pixels = generator.integers(0, 256, (plan.size, plan.size, 3), dtype=np.uint8)
        write_bytes(folder / "photos" / f"{index:06}.png", encode_png(pixels))
    targets = {folder / "testsets" / "tiny": plan}
    prepare(targets, recipe, open_source(str(folder / "photos")), None, workers=1)


def run(folder: Path) -> None:
    """`bench run bicubic`, without scoring."""
    run_method("bicubic", Experiment(_testset(folder), folder / "results", batch=16))


def lose(folder: Path) -> None:
    """The same after every tenth picture was lost."""
    testset = _testset(folder)
    (run_folder,) = (folder / "results" / testset.name).iterdir()
    for image in list(testset.entries)[::10]:
        (run_folder / "images" / f"{image}.png").unlink()
    run(folder)


def score(folder: Path) -> None:
    """`bench evaluate --metric psnr`."""
    score_runs(_testset(folder), folder / "results", [metrics.find_measure("psnr")])


def report(folder: Path) -> None:
    """`bench report --metric psnr`."""
    testset = _testset(folder)
    runs = find_runs(testset, folder / "results", (), ())
    collect.table_of(testset, runs, [metrics.find_measure("psnr")])


def _testset(folder: Path) -> TestSet:
    return open_testset(folder / "testsets" / "tiny")


STEPS: dict[str, Callable[[Path], None]] = {
    "run": run,
    "run again": run,
    "run after a loss": lose,
    "score": score,
    "score again": score,
    "report": report,
}


def measure(step: str, folder: Path, images: int) -> None:
    """One step in this process: print its row."""
    samples: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLED):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            samples.append(pages * resource.getpagesize())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, worked = time.perf_counter(), time.process_time()
    STEPS[step](folder)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    ended.set()
    watcher.join()
    peak, half = max(samples, default=0), max(samples[: len(samples) // 2], default=0)
    print(
        f"| {step} | {seconds:.1f} | {1000 * processor / images:.2f} "
        f"| {peak / 2**20:.0f} | {max(0, peak - half) / 2**20:.0f} |"
    )


def share(images: int = 64, steps: int = 50) -> None:
    """Print how much of a run, after the imports, is not the method's own."""
    recipe = replace(RECIPE, size=64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, images, recipe, plan_testset("tiny", recipe, 8))
        keep_freed_memory()
        experiment = Experiment(_testset(folder), folder / "results", {"ddnm": {"steps": steps}})
        started = time.perf_counter()
        finished = run_method("ddnm", experiment)
        seconds = time.perf_counter() - started
        sampling = sum(record.seconds or 0.0 for record in finished.run.records().values())
    print(
        f"{images} images of 64 px, DDNM in {steps} steps: {seconds:.1f} s, of which sampling "
        f"{sampling:.1f} s; the harness takes {1 - sampling / seconds:.2%}."
    )


def main(images: int) -> None:
    """All steps, in processes of their own."""
    print("| step | seconds | processor (ms/image) | memory (MiB) | of it in the second half |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), images)
        for step in STEPS:
            command = [sys.executable, "-m", "perf.harness", step, name, str(images)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["share"]:
        share()
    elif len(sys.argv) > 2:
        measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:] or ["5000"]))
