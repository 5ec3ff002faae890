"""How a comparison is timed: in a process for each side, by turns, as others may be at work."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

REPETITIONS = 3


@dataclass(frozen=True)
class Comparison:
    """`python -m MODULE ours WORK` beside `python -m MODULE OTHER WORK`; both print seconds.

    `what` and `against` are for people.
    """

    module: str
    work: str
    other: str
    what: str
    against: str

    def seconds(self, repetitions: int = REPETITIONS) -> tuple[float, float]:
        """Medians of our side and of the other."""
        pairs = [(self._run("ours"), self._run(self.other)) for _ in range(repetitions)]
        ours, others = zip(*pairs, strict=True)
        return statistics.median(ours), statistics.median(others)

    def _run(self, side: str) -> float:
        command = [sys.executable, "-m", self.module, side, self.work]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return float(result.stdout.split()[-1])


def timed(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls: the first one warms up."""
    work()
    _wait()
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    """For what a GPU was given to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
