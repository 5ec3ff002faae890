"""How many processes and threads work is given to, and what becomes of them."""

import os
import signal
from typing import Any

import pytest

from bench.core.concurrency import parallel_map, pooled_map, processors, threads
from bench.core.errors import BenchError


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), ("3", 3), ("0", None), ("many", None)])
def test_threads_follow_openmp(
    asked: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads() == (expected or processors())
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == processors()


def process(item: int) -> int:
    """Who does the work."""
    return os.getpid()


def end(item: int) -> int:
    """What a worker does that is killed."""
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_processes_are_kept_for_the_next_call() -> None:
    calls = [set(pooled_map(process, range(8), workers=2)) for _ in range(3)]
    workers = set.union(*calls)
    assert len(workers) <= 2
    assert os.getpid() not in workers
    assert list(pooled_map(process, range(2), workers=1)) == 2 * [os.getpid()]


@pytest.mark.parametrize("spread", [parallel_map, pooled_map])
def test_a_worker_that_is_killed_is_an_error_in_words(spread: Any) -> None:
    with pytest.raises(BenchError, match="A worker process was killed"):
        list(spread(end, range(6), workers=2))
    assert list(spread(abs, range(3), workers=2)) == [0, 1, 2]
