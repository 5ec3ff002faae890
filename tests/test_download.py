"""Downloads from servers that break, lie, stall and change their minds."""

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.request import OpenerDirector, Request

import pytest

from bench.download import connection
from bench.download.connection import OFFLINE
from bench.download.fetch import Limits, Wanted, download
from bench.errors import BenchError
from tests.serving import Answer, Handler, Site, saying, site, stalling, whole

# Larger than every buffer on the way, and no part equals another.
DATA = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
KNOWN = Wanted(DIGEST, len(DATA))
QUICK = Limits(patience=0.3, tries=3, pause=0)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(OFFLINE, raising=False)
    with site() as made:
        yield made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "net.pth"


def part(target: Path) -> Path:
    return target.with_name(".net.pth.part")


def left(target: Path) -> set[str]:
    """Names in the folder, but for the lock."""
    return {path.name for path in target.parent.iterdir()} - {".net.pth.lock"}


def refused(source: str | list[str], target: Path, message: str, wanted: Wanted = KNOWN) -> str:
    """Download what must be refused; the whole sentence. Nothing may bear the file's name."""
    sources = [source] if isinstance(source, str) else source
    with pytest.raises(BenchError, match=message) as caught:
        download(sources, target, wanted, QUICK)
    assert not target.exists()
    return str(caught.value)


def test_a_file_arrives_under_its_name_and_nothing_else_is_left(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA))
    assert download([source], target, KNOWN) == DIGEST
    assert target.read_bytes() == DATA
    assert left(target) == {"net.pth"}
    assert download([source], target, KNOWN) == DIGEST
    assert len(web.heard) == 1  # what is here and intact is not asked for again


def test_a_damaged_file_is_replaced(web: Site, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(DATA[:-1])
    download([web.serve("/net", whole(DATA))], target, KNOWN)
    assert target.read_bytes() == DATA


def test_without_a_known_hash_the_first_file_is_taken(web: Site, target: Path) -> None:
    with pytest.raises(BenchError, match="which is not https"):
        download([web.serve("/net", whole(DATA))], target, Wanted(), QUICK)
    target.write_bytes(DATA)
    assert download([], target, Wanted()) == DIGEST


def test_a_web_page_is_not_taken_for_an_unknown_file(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_check", lambda *_: None)  # this server has no https
    source = web.serve("/net", whole(b"\xef\xbb\xbf\n<html>quota exceeded</html>"))
    refused(source, target, "it gives a web page instead of the file", Wanted())
    assert left(target) == set()
    web.serve("/net", whole(DATA))
    assert download([source], target, Wanted(), QUICK) == DIGEST


def test_a_transfer_that_breaks_goes_on_where_it_stopped(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=1_000_000), whole(DATA, cut=500_000), whole(DATA))
    assert download([source], target, KNOWN, QUICK) == DIGEST
    assert web.ranges() == [None, "bytes=1000000-", "bytes=1500000-"]
    assert [headers.get("If-Range") for _, headers in web.heard] == [None, '"1"', '"1"']
    assert target.read_bytes() == DATA


def test_the_next_call_goes_on_where_the_last_one_gave_up(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=100_000))
    said = refused(source, target, r"it stopped after 300,000 of 3,000,000 bytes\.")
    assert said.endswith("It was asked 3 times.")
    assert part(target).read_bytes() == DATA[:300_000]
    web.serve("/net", whole(DATA))
    download([source], target, KNOWN, QUICK)
    assert web.ranges()[-1] == "bytes=300000-"
    assert target.read_bytes() == DATA
    assert left(target) == {"net.pth"}


def test_a_complete_part_is_not_fetched_again(web: Site, target: Path) -> None:
    """As a kill leaves it between the last byte and the move."""
    source = web.serve("/net", whole(DATA, cut=2_999_999))
    with pytest.raises(BenchError, match="stopped after"):
        download([source], target, KNOWN, Limits(tries=1))
    with part(target).open("ab") as file:
        file.write(DATA[-1:])
    download([source], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA
    assert len(web.heard) == 1


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(whole(DATA, '"2"'), id="another ETag, told by If-Range"),
        pytest.param(saying(200, DATA, ETag='"1"', Content_Length=len(DATA)), id="no Range"),
        pytest.param(
            saying(206, OTHER[5:], ETag='"2"', Content_Range="bytes 1000000-2999999/3000000"),
            id="another ETag, and If-Range ignored",
        ),
        pytest.param(
            saying(206, OTHER[5:], ETag='"1"', Content_Range="bytes 1000000-2999999/4000000"),
            id="another length",
        ),
        pytest.param(
            saying(206, OTHER[5:], ETag='"1"', Content_Range="bytes 999999-2999999/3000000"),
            id="another place",
        ),
        pytest.param(saying(206, OTHER[5:], ETag='"1"'), id="no place"),
        pytest.param(saying(416), id="a range beyond the end"),
    ],
)
def test_a_file_that_changes_between_two_parts_is_fetched_anew(
    web: Site, target: Path, second: Answer
) -> None:
    source = web.serve("/net", whole(OTHER, cut=1_000_000), second, whole(DATA, '"2"'))
    download([source], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA
    assert left(target) == {"net.pth"}


def test_parts_of_two_versions_that_look_alike_are_noticed_by_the_hash(
    web: Site, target: Path
) -> None:
    source = web.serve("/net", whole(OTHER, cut=1_000_000), whole(DATA))
    download([source], target, KNOWN, QUICK)
    assert web.ranges() == [None, "bytes=1000000-", None]
    assert target.read_bytes() == DATA


def test_a_weak_etag_is_compared_but_not_asked_by(web: Site, target: Path) -> None:
    """RFC 9110, section 13.1.5: If-Range wants a strong one, or a date."""
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    marks = {"ETag": 'W/"1"', "Last_Modified": date}
    rest = saying(206, DATA[9:], Content_Range="bytes 9-2999999/3000000", **marks)
    begin = saying(200, DATA[:9], Content_Length=len(DATA), **marks)
    download([web.serve("/net", begin, rest)], target, KNOWN, QUICK)
    assert [headers.get("If-Range") for _, headers in web.heard] == [None, date]
    assert target.read_bytes() == DATA


def test_bytes_that_nothing_could_tell_from_others_are_fetched_anew(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hash, no ETag, no date: a part of an older file would pass."""
    monkeypatch.setattr(connection, "_check", lambda *_: None)  # this server has no https
    source = web.serve("/net", whole(OTHER, None, cut=9), whole(DATA, None))
    download([source], target, Wanted(), QUICK)
    assert web.ranges() == [None, None]
    assert target.read_bytes() == DATA


def test_a_part_whose_note_is_damaged_is_not_used(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=1_000_000))
    with pytest.raises(BenchError, match="stopped after"):
        download([source], target, KNOWN, Limits(tries=1))
    target.with_name(".net.pth.part.json").write_text("{")
    web.serve("/net", whole(DATA))
    download([source], target, KNOWN, QUICK)
    assert web.ranges() == [None, None]


def test_a_part_from_one_source_is_not_continued_from_another(web: Site, target: Path) -> None:
    sources = [web.serve("/a", whole(OTHER, cut=10)), web.serve("/b", whole(DATA))]
    download(sources, target, KNOWN, QUICK)
    assert [headers.get("Range") for path, headers in web.heard if path == "/b"] == [None]
    assert target.read_bytes() == DATA


def test_a_server_that_stalls_is_left_and_asked_again(web: Site, target: Path) -> None:
    source = web.serve("/net", stalling(DATA[:1_000_000], len(DATA), ETag='"1"'), whole(DATA))
    start = time.monotonic()
    download([source], target, KNOWN, QUICK)
    assert 0.3 <= time.monotonic() - start < 5  # the patience, and far from the server's 20 s
    assert web.ranges() == [None, "bytes=1000000-"]
    silent = web.serve("/silent", stalling(b"", len(DATA)))
    refused(silent, target.with_name("x"), r"the connection failed \(timed out\)")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(web: Site, target: Path, status: int) -> None:
    download([web.serve("/net", saying(status), whole(DATA))], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA
    refused(web.serve("/x", saying(status)), target.with_name("x"), rf"answers {status} .*3 times")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(saying(404, b"no"), "it answers 404 Not Found", id="404"),
        pytest.param(saying(204), "it answers 204", id="204"),
        pytest.param(
            saying(200, b"<html>quota</html>", Content_Type="text/html; charset=utf-8"),
            "a web page instead of the file",
            id="a web page",
        ),
        pytest.param(
            saying(200, DATA[:9], Content_Encoding="gzip"), r"encoded \(gzip\)", id="encoded"
        ),
        pytest.param(
            saying(200, DATA[:-1], Content_Length=len(DATA) - 1),
            r"offers 2,999,999 bytes, not 3,000,000",
            id="too short by its own account",
        ),
        pytest.param(
            saying(200, DATA, Content_Length=10**15),
            r"offers 1,000,000,000,000,000 bytes, not 3,000,000",
            id="too long by its own account",
        ),
        pytest.param(saying(200, DATA + b"x"), "sends more than 3,000,000", id="too long, unsaid"),
        pytest.param(saying(200, OTHER), r"has the sha256 \w{64}, not", id="another file"),
    ],
)
def test_what_will_not_do_is_refused_at_once_and_the_next_source_asked(
    web: Site, target: Path, answer: Answer, said: str
) -> None:
    bad = web.serve("/bad", answer)
    refused(bad, target, rf"net\.pth can't be downloaded\. {bad}: .*{said}")
    assert len(web.heard) == 1
    assert left(target) == set()
    download([bad, web.serve("/good", whole(DATA))], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA


def test_a_length_that_is_more_than_comes_is_a_broken_transfer(web: Site, target: Path) -> None:
    source = web.serve("/net", saying(200, DATA[:-1], Content_Length=len(DATA)))
    refused(source, target, r"it stopped after 2,999,999 of 3,000,000 bytes")
    source = web.serve("/unsaid", saying(200, DATA[:-1]))
    refused(source, target, r"it stopped after 2,999,999 of 3,000,000 bytes")


def test_a_length_that_is_less_than_comes_does_not_pass(web: Site, target: Path) -> None:
    source = web.serve("/net", saying(200, DATA, Content_Length=len(DATA) - 1))
    refused(source, target, "sha256|sends more than 2,999,999", Wanted(DIGEST))


def test_a_file_of_unknown_size_is_bounded(web: Site, target: Path) -> None:
    small = Limits(largest=1000, pause=0)
    for answer, said in [
        (saying(200, DATA, Content_Length=len(DATA)), "offers 3,000,000 bytes, more than 1,000"),
        (saying(200, DATA), "sends more than 1,000 bytes"),
    ]:
        with pytest.raises(BenchError, match=said):
            download([web.serve("/net", answer)], target, Wanted(DIGEST), small)
        assert left(target) == set()


def test_the_disk_must_have_room(web: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(DATA) - 1))
    message = r"net\.pth needs 3,000,000 bytes more in .*cache, where 2,999,999 are free: make room"
    refused(web.serve("/net", whole(DATA)), target, message)
    assert left(target) == set()


def test_a_disk_that_fills_up_is_told_as_that(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    target.parent.mkdir()
    part(target).symlink_to("/dev/full")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # so that the link stays
    refused(web.serve("/net", whole(DATA)), target, r"part can't be written: No space left")
    assert len(web.heard) == 1


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
        ("file:///etc/hostname", r"leads to file:///etc/hostname, which is not http or https"),
        ("ftp://127.0.0.1/net", r"leads to ftp://127\.0\.0\.1/net, which is not http or https"),
        ("data:,x", "leads to data:,x, which is not http or https"),
        ("http://[", r"leads to 'http://\[', which is no address"),
        ("http://127.0.0.1:x/", "leads to 'http://127.0.0.1:x/', which is no address"),
        ("/a b", "leads to '/a b', which is no address"),
        ("/\N{LATIN SMALL LETTER E WITH ACUTE}", "which is no address"),
    ],
)
def test_redirects_to_nowhere_good_are_not(
    web: Site, target: Path, location: str, said: str
) -> None:
    refused(web.serve("/net", moved(location)), target, said)
    assert len(web.heard) == (6 if "5 times" in said else 1)


def test_nobody_there(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with site() as gone:
        source = gone.address + "/net"
    refused(source, target, r"the connection failed \(.*refused\)\. It was asked 3 times")


def test_offline_no_connection_is_made(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = web.serve("/net", whole(DATA))
    monkeypatch.setenv(OFFLINE, "1")
    refused(source, target, r"net\.pth would have to be downloaded, but BENCH_OFFLINE forbids")
    assert web.heard == []
    target.write_bytes(DATA)
    assert download([source], target, KNOWN) == DIGEST  # what is here needs no connection
    target.unlink()
    monkeypatch.setenv(OFFLINE, "0")
    download([source], target, KNOWN)


CHILD = """
import sys
from pathlib import Path
from bench.download.fetch import Wanted, download
print("ready", flush=True)
download([sys.argv[1]], Path(sys.argv[2]), Wanted(sys.argv[3]))
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
        "https://127.0.0.1/net", target, r"leads to http://127\.0\.0\.1/net, which is not https"
    )
    assert asked == ["https://127.0.0.1/net"]
