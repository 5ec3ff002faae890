"""Fixtures of all tests: no network, a web server, a registry of networks."""

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.networks.download.connection import OFFLINE
from bench.networks.download.fetch import ExpectedFile
from bench.networks.registry import obtain
from tests import network
from tests.registered import Register, registry
from tests.serving import Site, site

network.deny()
# In the background of a shell SIGINT is ignored, and subprocesses would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def gpu_or_skip(request: pytest.FixtureRequest) -> None:
    """Skip tests marked `gpu` on a machine without one."""
    if request.node.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")


@pytest.fixture(autouse=True)
def nothing_reaches_for_the_network() -> Iterator[None]:
    """Fail a test that tried to reach the network, even if it handled the refusal."""
    network.attempts.clear()
    yield
    assert network.attempts == []


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server on this machine that downloads may reach."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(OFFLINE, raising=False)
    with site() as made:
        yield made


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """A function that makes a TOML text the registry; the cache is empty."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(OFFLINE, raising=False)
    with registry(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def cache(register: Register, tmp_path: Path) -> Path:
    """The folder of the registry's files."""
    return tmp_path / "cache"


@pytest.fixture
def coming(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A queue of the contents that downloads return, without a server."""
    queue: list[bytes] = []

    def stand_in(sources: object, target: Path, wanted: ExpectedFile) -> str:
        data = queue.pop(0)
        digest = hashlib.sha256(data).hexdigest()
        if wanted.sha256 not in (None, digest):
            raise BenchError(f"{digest}, not {wanted.sha256}: refused.")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        return digest

    monkeypatch.setattr(obtain, "download", stand_in)
    return queue
