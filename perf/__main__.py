"""`python -m perf`: print what our code costs beside the plain way of doing the same.

A figure is the median of alternating repetitions in one process per side, so that a busy machine
burdens both sides alike.
"""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

REPETITIONS = 5


def measure(module: str, side: str, work: str) -> float:
    """Seconds of one side of a comparison, in a process of its own."""
    command = [sys.executable, "-m", module, side, work]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def compare(module: str, work: str, other: str) -> tuple[float, float]:
    """Median seconds of our side and of the other, alternating."""
    pairs = [
        (measure(module, "ours", work), measure(module, other, work)) for _ in range(REPETITIONS)
    ]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def timed(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls: the first one warms up."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure everything and print one table."""
    table = Table(title=f"{platform.machine()}, {platform.python_version()}")
    for header in ("what", "against", "ours (s)", "theirs (s)", "ratio"):
        table.add_column(header)
    loop = "the released loop's network calls, one image at a time"
    for module, work, other, what, against in (
        ("perf.sampling", "ddnm", "plain", "ddnm", loop),
        ("perf.sampling", "dpi", "plain", "dpi", loop),
        ("perf.zero_shot", "dps", "deepinv", "dps", "deepinv's DPS"),
        ("perf.zero_shot", "ddrm", "deepinv", "ddrm", "deepinv's DDRM"),
        ("perf.zero_shot", "ddnm", "deepinv", "ddnm", "deepinv's DiffPIR"),
        ("perf.training", "prior", "diffusers", "train prior", "the loop of diffusers' example"),
        ("perf.preparing", "1", "pil", "prepare, 1 scale", "a loop with Pillow"),
        ("perf.preparing", "3", "pil", "prepare, 3 scales", "a loop with Pillow"),
        ("perf.preparing", "1", "basicsr", "prepare, 1 scale", "a loop like BasicSR's"),
        ("perf.preparing", "3", "basicsr", "prepare, 3 scales", "a loop like BasicSR's"),
        ("perf.metrics", "frechet", "plain", "Frechet distance", "scipy's root of a matrix"),
        ("perf.reporting", "statistics", "plain", "report, statistics", "scipy.stats, by cell"),
        ("perf.metrics", "pictures", "plain", "all metrics", "the packages' calls, by image"),
    ):
        ours, theirs = compare(module, work, other)
        table.add_row(what, against, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
