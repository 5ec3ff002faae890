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
PAIRS = 300  # of pictures that all metrics are measured on, for several minutes


def measure(module: str, side: str, work: str) -> float:
    """Seconds of one side of a comparison, in a process of its own; `work` may be several words."""
    command = [sys.executable, "-m", module, side, *work.split()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def compare(module: str, work: str, repetitions: int) -> tuple[float, float]:
    """Median seconds of ours and of the plain way, alternating."""
    pairs = [
        (measure(module, "ours", work), measure(module, "plain", work)) for _ in range(repetitions)
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
    released = "the released loop's network calls, one image at a time"
    for module, what, against, repetitions in (
        ("perf.sampling", "ddnm", released, REPETITIONS),
        ("perf.sampling", "dpi", released, REPETITIONS),
        ("perf.metrics", "frechet", "scipy's root of the product of covariances", 1),
        ("perf.metrics", f"pictures {PAIRS}", "the packages' own calls, one image at a time", 1),
    ):
        ours, plain = compare(module, what, repetitions)
        table.add_row(what, against, f"{ours:.2f}", f"{plain:.2f}", f"{plain / ours:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
