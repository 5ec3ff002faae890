"""How the files of the registry come here: downloaded, by hand, under their licences."""

import hashlib
from pathlib import Path

import pytest
import typer

from bench.cli import weights as command
from bench.core.errors import BenchError
from bench.networks.download.connection import OFFLINE
from bench.networks.registry import hashes
from bench.networks.registry.obtain import add_weights, get_weights
from bench.networks.registry.records import find_public, find_record
from tests.command import bench, good
from tests.registered import Register, table
from tests.serving import Site, saying, whole

DATA = b"weights " * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_get_brings_a_file_to_where_it_is_looked_for(register: Register, web: Site) -> None:
    sources = [web.serve("/gone", saying(404)), web.serve("/net", whole(DATA))]
    register(table("net", sources=sources, sha256=DIGEST, size=len(DATA)))
    path = get_weights("net")
    assert path == find_public("net")
    assert path.read_bytes() == DATA
    assert [heard for heard, _ in web.heard] == ["/gone", "/net"]
    assert not hashes.first_use(find_record("net")).exists()
    assert good("weights", "get", "net").out == f"Ready: {path}\n"
    assert len(web.heard) == 2


def test_a_file_with_another_hash_is_refused(register: Register, web: Site, cache: Path) -> None:
    register(table("net", sources=[web.serve("/net", whole(DATA[1:]))], sha256=DIGEST))
    outcome = bench("weights", "get", "net")
    assert outcome.code == 1
    assert f"not {DIGEST}: refused." in outcome.err
    assert not (cache / "net.pth").exists()


def test_where_no_source_works_the_other_way_is_named(register: Register, web: Site) -> None:
    gone = web.serve("/net", saying(404))
    register(table("net", sources=[gone], sha256=DIGEST, by_hand="their page"))
    said = r"404 Not Found\. Or download it manually from their page and run `bench weights"
    with pytest.raises(BenchError, match=said):
        get_weights("net")


def test_offline_is_told_by_the_command(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(table("net"))
    monkeypatch.setenv(OFFLINE, "1")
    outcome = bench("weights", "get", "net")
    assert outcome.code == 1
    assert "net.pth needs a download, but BENCH_OFFLINE forbids" in outcome.err


def test_what_has_no_published_hash_is_held_to_its_first_use(
    register: Register, coming: list[bytes], cache: Path
) -> None:
    register(table("net"))
    coming += [b"first", b"second", b"second"]
    digest = hashlib.sha256(b"first").hexdigest()
    out = good("weights", "get", "net").out
    assert "No published hash exists for net.pth; this one was accepted." in out
    assert digest in out
    assert (cache / "net.pth.sha256").read_text() == f"{digest}  net.pth\n"
    (cache / "net.pth").unlink()
    said = r"Its hash was recorded at the first download; .* remove .*net\.pth\.sha256"
    with pytest.raises(BenchError, match=said):
        get_weights("net")
    (cache / "net.pth.sha256").unlink()
    assert get_weights("net").read_bytes() == b"second"


def test_add_takes_the_known_file_and_no_other(
    register: Register, tmp_path: Path, cache: Path
) -> None:
    register(table("net", sha256=DIGEST) + table("free", by_hand="their page"))
    file = tmp_path / "download"
    file.write_bytes(b"other")
    digest = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(BenchError, match=rf"is not net\.pth: its sha256 is {digest}, not {DIGEST}"):
        add_weights("net", file)
    assert not cache.exists()
    assert "No published hash exists for free.pth" in good("weights", "add", "free", file).out
    file.write_bytes(DATA)
    assert good("weights", "add", "net", file).out == f"Added {cache / 'net.pth'}\n"
    assert find_public("net").read_bytes() == DATA
    with pytest.raises(
        BenchError, match=rf"is not free\.pth: its sha256 is {DIGEST}, not {digest}"
    ):
        add_weights("free", file)
    file.write_bytes(b"\n<!DOCTYPE html><html>Virus scan warning</html>")
    (cache / "free.pth.sha256").unlink()
    with pytest.raises(BenchError, match=r"download is a web page, not free\.pth"):
        add_weights("free", file)
    with pytest.raises(BenchError, match=r"There is no file .*nothing"):
        add_weights("net", tmp_path / "nothing")


LIMITED: dict[str, object] = {"licence": "S-Lab", "terms": "https://terms", "non_commercial": True}


def test_a_script_must_say_that_it_accepts(register: Register, coming: list[bytes]) -> None:
    third = table("third", **(LIMITED | {"licence": "CC BY-NC"}))
    register(table("net", **LIMITED) + table("other", **LIMITED) + third)
    coming += [b"1", b"2", b"3"]
    with pytest.raises(BenchError, match=r"a licence that you have not accepted yet \(S-Lab\)"):
        get_weights("net")
    outcome = bench("weights", "get", "net")
    assert outcome.code == 1
    assert outcome.out == "net.pth is under this licence: S-Lab. https://terms\n"
    assert "add --accept-licence" in outcome.err
    assert "this licence: S-Lab." in good("weights", "get", "net", "--accept-licence").out
    assert "this licence" not in good("weights", "get", "other").out  # accepted once
    assert bench("weights", "get", "third").code == 1  # but not this one
    assert coming == [b"3"]


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_once(
    register: Register, coming: list[bytes], monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    register(table("net", **LIMITED))
    coming += [b"1", b"1"]
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(command, "_at_a_terminal", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    outcome = bench("weights", "get", "net")
    assert outcome.code == (0 if answer else 1)
    assert outcome.out.startswith("net.pth is under this licence: S-Lab. https://terms\n")
    assert asked == ["Do you accept it?"]
    if answer:
        good("weights", "get", "net")
        assert len(asked) == 1
    else:
        assert "its licence was not accepted" in outcome.err
        assert len(coming) == 2


def test_a_licence_that_asks_for_nothing_is_not_asked_about(
    register: Register, coming: list[bytes]
) -> None:
    register(table("net"))
    coming += [DATA]
    assert "this licence" not in good("weights", "get", "net").out
