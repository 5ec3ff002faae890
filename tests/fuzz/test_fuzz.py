"""Every parser turns any bytes into a value or a BenchError, in little time and memory."""

import os
import resource
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import altered, damaged
from tests.fuzz.targets import TARGETS, seeds

LONGER = int(os.environ.get("BENCH_FUZZ_EXAMPLES", "0"))
"""Examples of each target in a longer run, new ones every time."""

MEMORY = 2**31
"""Bytes that a parser may take: several times what 80 million pixels need."""

PATIENCE = timedelta(seconds=10)
"""For one example; a busy machine may stop any of them for a second or two."""

FUZZ = settings(
    max_examples=LONGER or 40,
    derandomize=not LONGER,  # the same in every run, so that only a change can fail it
    database=None,
    deadline=PATIENCE,
    suppress_health_check=list(HealthCheck),
)

JSON = ("manifest", "run", "journal", "noted scores", "exported run", "export's manifest")


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Raise MemoryError, which is no BenchError, where a parser asks for more."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmData" in x]
    resource.setrlimit(resource.RLIMIT_DATA, (int(line.split()[1]) * 1024 + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def check(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        TARGETS[name](data, Path(folder))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_once_broke_a_parser(name: str) -> None:
    for data in seeds(name):
        check(name, data)


@pytest.mark.parametrize("name", TARGETS)
@FUZZ
@given(st.data())
def test_damaged_bytes(name: str, data: st.DataObject) -> None:
    check(name, data.draw(damaged(seeds(name))))


@pytest.mark.parametrize("name", JSON)
@FUZZ
@given(st.data())
def test_altered_values(name: str, data: st.DataObject) -> None:
    check(name, data.draw(altered(TARGETS[name].seeds())))
