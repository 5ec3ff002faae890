"""Timing of comparisons: a process per side, in turns, since other work may share the machine."""

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
    """`python -m MODULE ours WORK` against `python -m MODULE OTHER WORK`; both print seconds.

    `what` and `against` are the labels of the table.
    """

    module: str
    work: str
    other: str
    what: str
    against: str

    def seconds(self, repetitions: int = REPETITIONS) -> tuple[float, float]:
        """Return the medians of our side and of the other."""
        pairs = [(self._run("ours"), self._run(self.other)) for _ in range(repetitions)]
        ours, others = zip(*pairs, strict=True)
        return statistics.median(ours), statistics.median(others)

    def _run(self, side: str) -> float:
        command = [sys.executable, "-m", self.module, side, self.work]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return float(result.stdout.split()[-1])


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of the second of two calls; the first warms up."""
    work()
    _wait()
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    """Wait until a GPU has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
