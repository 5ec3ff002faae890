"""What tests of several rooms begin with: no network, a web server, records of a test's own."""

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.download.connection import OFFLINE
from bench.download.fetch import Wanted
from bench.errors import BenchError
from bench.registry import obtain
from tests import network
from tests.browser import CHROMIUM, Browser, browser
from tests.registered import Register, registry
from tests.serving import Site, site

network.deny()
# In the background of a shell an interrupt is ignored, which the programs of tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_reaches_for_the_network() -> Iterator[None]:
    """Fails a test in whose time something tried to, though it may have taken the refusal well."""
    network.attempts.clear()
    yield
    assert network.attempts == []


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine, which downloads may reach."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(OFFLINE, raising=False)
    with site() as made:
        yield made


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Makes a TOML text the registry; the cache folder is empty."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(OFFLINE, raising=False)
    with registry(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def cache(register: Register, tmp_path: Path) -> Path:
    """Where the files of these records lie."""
    return tmp_path / "cache"


@pytest.fixture
def coming(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What downloads bring, one after the other, without any server."""
    queue: list[bytes] = []

    def stand_in(sources: object, target: Path, wanted: Wanted, limits: object) -> str:
        data = queue.pop(0)
        digest = hashlib.sha256(data).hexdigest()
        if wanted.sha256 not in (None, digest):
            raise BenchError(f"{digest}, not {wanted.sha256}: refused.")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        return digest

    monkeypatch.setattr(obtain, "download", stand_in)
    return queue


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests that look at a page; each opens a tab of its own."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here (tests/system-packages.txt).")
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made
