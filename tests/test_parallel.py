"""How many processes and threads work is given to."""

import pytest

from bench.parallel import processors, threads


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), ("3", 3), ("0", None), ("many", None)])
def test_threads_follow_openmp(
    asked: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads() == (expected or processors())
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == processors()
