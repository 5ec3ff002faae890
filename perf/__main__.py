"""`python -m perf [REPETITIONS]`: the cost of our code against other ways to do the same.

Print one table of ratios, and write it with machine and versions to docs/results/performance.md.
"""

import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.core.files import write_bytes
from bench.core.progress import progress
from perf.measuring import REPETITIONS, Comparison
from perf.peak import rates

PAGE = Path(__file__).parents[1] / "docs" / "results" / "performance.md"
BEGIN, END = "<!-- written by python -m perf -->", "<!-- end of what is written -->"
HEADERS = ("what", "against", "ours (s)", "theirs (s)", "ratio")
PACKAGES = (
    *("torch", "numpy", "scipy", "pillow", "scikit-image", "lpips", "torch-fidelity", "deepface"),
    *("pyiqa", "deepinv", "diffusers"),
)

LOOP = "the released loop, one image at a time"
BATCHED = "the released loop on a batch, under autocast"
COMPARISONS = (
    Comparison("perf.sampling", "ddnm", "plain", "ddnm", LOOP),
    Comparison("perf.sampling", "dpi", "plain", "dpi", LOOP),
    Comparison("perf.sampling", "dps", "plain", "dps", LOOP),
    Comparison("perf.zero_shot", "dps", "deepinv", "dps", "deepinv's DPS"),
    Comparison("perf.zero_shot", "ddrm", "deepinv", "ddrm", "deepinv's DDRM"),
    Comparison("perf.zero_shot", "ddnm", "deepinv", "ddnm", "deepinv's DiffPIR"),
    Comparison("perf.zero_shot", "prior", "diffusers", "the prior alone", "diffusers' pipeline"),
    Comparison("perf.training", "prior", "diffusers", "train prior", "diffusers' example"),
    Comparison("perf.preparing", "1", "pil", "prepare, 1 scale", "a loop with Pillow"),
    Comparison("perf.preparing", "3", "pil", "prepare, 3 scales", "a loop with Pillow"),
    Comparison("perf.preparing", "1", "basicsr", "prepare, 1 scale", "a loop like BasicSR's"),
    Comparison("perf.preparing", "3", "basicsr", "prepare, 3 scales", "a loop like BasicSR's"),
    Comparison("perf.metrics", "frechet", "plain", "Frechet distance", "scipy's root of a matrix"),
    Comparison("perf.metrics", "pictures", "plain", "all metrics", "the packages' calls, by image"),
    Comparison("perf.metrics", "runs", "plain", "the same of 12 methods", "the packages' calls"),
    Comparison("perf.reporting", "statistics", "plain", "report, statistics", "scipy.stats"),
    Comparison("perf.starting", "help", "plain", "bench --help", "import torch_fidelity"),
    Comparison("perf.starting", "doctor", "plain", "bench doctor", "torch.utils.collect_env"),
    Comparison("perf.starting", "report", "plain", "bench report, demo", "import torch"),
)
ON_A_CPU = (  # on a GPU the rows above are in bfloat16
    Comparison("perf.sampling", "ddnm-bfloat16", "plain", "ddnm, bfloat16", LOOP),
    Comparison("perf.sampling", "dpi-bfloat16", "plain", "dpi, bfloat16", LOOP),
    Comparison("perf.sampling", "dps-bfloat16", "plain", "dps, bfloat16", LOOP),
    Comparison("perf.training", "prior", "float32", "train prior, bfloat16", "float32"),
)
ON_A_GPU = (
    Comparison("perf.sampling", "ddnm", "batched", "ddnm", BATCHED),
    Comparison("perf.sampling", "dpi", "batched", "dpi", BATCHED),
    Comparison("perf.sampling", "dps", "batched", "dps", BATCHED),
)
WITHOUT_GPU = "There is no GPU here: the rows that need one, at 256 px, are left out."


def machine() -> str:
    """Describe the machine and the versions of the packages."""
    gpu = torch.cuda.is_available()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    measured = (
        f"Measured on {datetime.datetime.now(tz=datetime.UTC):%d %B %Y} by {os.cpu_count()} cores "
        f"({processor()}) and {torch.cuda.get_device_name() if gpu else 'no GPU'}; "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )
    return measured + ("" if gpu else f"\n\n{WITHOUT_GPU}")


def processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def measure(repetitions: int) -> list[tuple[str, ...]]:
    """Measure all comparisons and return the rows of the table."""
    comparisons = (ON_A_GPU if torch.cuda.is_available() else ON_A_CPU) + COMPARISONS
    rows: list[tuple[str, ...]] = []
    with progress("Measuring", len(comparisons)) as advance:
        for one in comparisons:
            advance(0, one.what)
            ours, theirs = one.seconds(repetitions)
            numbers = (f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}")
            rows.append((one.what, one.against, *numbers))
            advance(1)
    return rows


def page(before: str, rows: Sequence[tuple[str, ...]], peak: str) -> str:
    """Return the page with the table in place of the earlier one."""
    head, rest = before.split(BEGIN)
    _, tail = rest.split(END)
    table = [HEADERS, ("---",) * len(HEADERS), *rows]
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head + BEGIN, machine(), "", *lines, "", peak, END]) + tail


def main(repetitions: int) -> None:
    """Measure everything, write the page and print the table."""
    rows = measure(repetitions)
    network, product = rates()
    peak = (
        f"The prior's network computes at {network / 1e9:.0f} GFLOP/s, a product of two large "
        f"matrices at {product / 1e9:.0f}: {network / product:.2f} of it."
    )
    write_bytes(PAGE, page(PAGE.read_text(encoding="utf-8"), rows, peak).encode())
    table = Table(*HEADERS, title=machine().partition(";")[0])
    for row in rows:
        table.add_row(*row)
    console = Console(width=110)
    console.print(table)
    console.print(peak)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else REPETITIONS)
