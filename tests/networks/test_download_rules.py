"""Where downloads lead: redirects, no connection at all, and two processes."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.request import OpenerDirector, Request

import pytest

from bench.networks.download.connection import OFFLINE
from bench.networks.download.fetch import download
from tests.downloading import DATA, DIGEST, KNOWN, QUICK, part, refused
from tests.serving import Answer, Handler, Site, saying, site, stalling, whole


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "net.pth"


def moved(location: str, status: int = 302) -> Answer:
    return saying(status, Location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(web: Site, target: Path, status: int) -> None:
    web.serve("/there", whole(DATA, cut=1_000_000), whole(DATA))
    download([web.serve("/net", moved("/there", status))], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA
    assert web.ranges()[-2:] == ["bytes=1000000-"] * 2  # the range is asked of both


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/net", "it redirects more than 5 times"),
        ("", "it redirects more than 5 times"),
        ("file:///etc/hostname", r"redirects to file:///etc/hostname, which is not http or https"),
        ("ftp://127.0.0.1/net", r"redirects to ftp://127\.0\.0\.1/net, which is not http or https"),
        ("data:,x", "redirects to data:,x, which is not http or https"),
        ("http://[", r"redirects to 'http://\[', which is not an address"),
        ("http://127.0.0.1:x/", "redirects to 'http://127.0.0.1:x/', which is not an address"),
        ("/a b", "redirects to '/a b', which is not an address"),
        ("/\N{LATIN SMALL LETTER E WITH ACUTE}", "which is not an address"),
    ],
)
def test_redirects_to_nowhere_good_are_not(
    web: Site, target: Path, location: str, said: str
) -> None:
    refused(web.serve("/net", moved(location)), target, said)
    assert len(web.heard) == (6 if "5 times" in said else 1)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e9", "\N{SUPERSCRIPT TWO}"])
def test_a_length_that_is_none_is_not_believed(web: Site, target: Path, length: str) -> None:
    def answer(handler: Handler) -> None:
        header = f"bytes 0-1/{length}".encode("latin-1", "replace").decode("latin-1")
        handler.say(206, {"Content-Range": header}, DATA)

    refused(web.serve("/net", answer), target, "it changed between two parts")


def test_nobody_there(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with site() as gone:
        source = gone.address + "/net"
    refused(source, target, r"the connection failed \(.*refused\)\. Gave up after 3 tries")


def test_offline_no_connection_is_made(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = web.serve("/net", whole(DATA))
    monkeypatch.setenv(OFFLINE, "1")
    refused(source, target, r"net\.pth needs a download, but BENCH_OFFLINE forbids")
    assert web.heard == []
    target.write_bytes(DATA)
    assert download([source], target, KNOWN) == DIGEST  # what is here needs no connection
    target.unlink()
    monkeypatch.setenv(OFFLINE, "0")
    download([source], target, KNOWN)


CHILD = """
import sys
from pathlib import Path
from bench.networks.download.fetch import ExpectedFile, download
print("ready", flush=True)
download([sys.argv[1]], Path(sys.argv[2]), ExpectedFile(sys.argv[3]))
"""


def child(source: str, target: Path) -> subprocess.Popen[bytes]:
    """Another process, about to download."""
    command = [sys.executable, "-c", CHILD, source, str(target), DIGEST]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    started.stdout.close()
    return started


def test_two_at_once_fetch_it_once(web: Site, target: Path) -> None:
    gate = threading.Event()

    def answer(handler: Handler) -> None:
        gate.wait(20)
        whole(DATA)(handler)

    source = web.serve("/net", answer)
    children = [child(source, target), child(source, target)]
    time.sleep(0.3)  # both have asked by now, if both may
    assert len(web.heard) == 1
    gate.set()
    assert [process.wait(20) for process in children] == [0, 0]
    assert len(web.heard) == 1
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_leaves_its_part_and_no_lock(
    web: Site, target: Path, stop: signal.Signals
) -> None:
    source = web.serve("/net", stalling(DATA[:1_000_000], len(DATA), ETag='"1"'), whole(DATA))
    stopped = child(source, target)
    deadline = time.monotonic() + 15
    while not part(target).exists() or part(target).stat().st_size < 1_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stopped.send_signal(stop)
    stopped.wait(10)
    assert not target.exists()
    download([source], target, KNOWN, QUICK)
    assert web.ranges() == [None, "bytes=1000000-"]
    assert target.read_bytes() == DATA


def test_a_secure_source_never_leads_to_an_open_one(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(_: object, request: Request, timeout: float) -> SimpleNamespace:
        asked.append(request.full_url)
        there = {"Location": "http://127.0.0.1/net"}
        return SimpleNamespace(status=302, headers=there, close=lambda: None)

    monkeypatch.setattr(OpenerDirector, "open", answer)
    refused(
        "https://127.0.0.1/net", target, r"redirects to http://127\.0\.0\.1/net, which is not https"
    )
    assert asked == ["https://127.0.0.1/net"]
