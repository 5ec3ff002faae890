"""Downloads from servers that break, lie, stall and change their minds."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.core.errors import BenchError
from bench.networks.download import connection
from bench.networks.download.fetch import DownloadLimits, ExpectedFile, download
from tests.downloading import DATA, DIGEST, KNOWN, OTHER, QUICK, left, part, refused
from tests.serving import Answer, Site, saying, stalling, whole


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "net.pth"


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
        download([web.serve("/net", whole(DATA))], target, ExpectedFile(), QUICK)
    target.write_bytes(DATA)
    assert download([], target, ExpectedFile()) == DIGEST


def test_a_web_page_is_not_taken_for_an_unknown_file(
    web: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_check", lambda *_: None)  # this server has no https
    source = web.serve("/net", whole(b"\xef\xbb\xbf\n<html>quota exceeded</html>"))
    refused(source, target, "it returned a web page instead of the file", ExpectedFile())
    assert left(target) == set()
    web.serve("/net", whole(DATA))
    assert download([source], target, ExpectedFile(), QUICK) == DIGEST


def test_a_transfer_that_breaks_goes_on_where_it_stopped(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=1_000_000), whole(DATA, cut=500_000), whole(DATA))
    assert download([source], target, KNOWN, QUICK) == DIGEST
    assert web.ranges() == [None, "bytes=1000000-", "bytes=1500000-"]
    assert [headers.get("If-Range") for _, headers in web.heard] == [None, '"1"', '"1"']
    assert target.read_bytes() == DATA


def test_the_next_call_goes_on_where_the_last_one_gave_up(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=100_000))
    said = refused(source, target, r"it stopped after 300,000 of 3,000,000 bytes\.")
    assert said.endswith("Gave up after 3 tries.")
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
        download([source], target, KNOWN, DownloadLimits(tries=1))
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
    download([source], target, ExpectedFile(), QUICK)
    assert web.ranges() == [None, None]
    assert target.read_bytes() == DATA


def test_a_part_whose_note_is_damaged_is_not_used(web: Site, target: Path) -> None:
    source = web.serve("/net", whole(DATA, cut=1_000_000))
    with pytest.raises(BenchError, match="stopped after"):
        download([source], target, KNOWN, DownloadLimits(tries=1))
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
    assert 0.3 <= time.monotonic() - start < 15  # the patience, and not the server's 20 s
    assert web.ranges() == [None, "bytes=1000000-"]
    silent = web.serve("/silent", stalling(b"", len(DATA)))
    refused(silent, target.with_name("x"), r"the connection failed \(timed out\)")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(web: Site, target: Path, status: int) -> None:
    download([web.serve("/net", saying(status), whole(DATA))], target, KNOWN, QUICK)
    assert target.read_bytes() == DATA
    refused(web.serve("/x", saying(status)), target.with_name("x"), rf"answers {status} .*3 tries")


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
            saying(200, DATA[:9], Content_Encoding="gzip"),
            r"unrequested encoding \(gzip\)",
            id="encoded",
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
        pytest.param(saying(200, OTHER), r"has sha256 \w{64}, not", id="another file"),
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
    refused(source, target, "sha256|sends more than 2,999,999", ExpectedFile(DIGEST))


def test_a_file_of_unknown_size_is_bounded(web: Site, target: Path) -> None:
    small = DownloadLimits(largest=1000, pause=0)
    for answer, said in [
        (saying(200, DATA, Content_Length=len(DATA)), "offers 3,000,000 bytes, more than 1,000"),
        (saying(200, DATA), "sends more than 1,000 bytes"),
    ]:
        with pytest.raises(BenchError, match=said):
            download([web.serve("/net", answer)], target, ExpectedFile(DIGEST), small)
        assert left(target) == set()


def test_the_disk_must_have_room(web: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(DATA) - 1))
    message = (
        r"net\.pth needs 3,000,000 bytes more in .*cache, where 2,999,999 are free: free some space"
    )
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


def test_what_a_kill_left_beside_a_whole_file_goes(tmp_path: Path) -> None:
    target = tmp_path / "net.pth"
    target.write_bytes(DATA)
    target.with_name(".net.pth.part.json").write_text("{}")
    assert download([], target, KNOWN, QUICK) == DIGEST
    assert left(target) == {"net.pth"}
