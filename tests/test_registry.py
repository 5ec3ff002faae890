"""The registry: what its records may say, how their files come here, and what is noticed later."""

import hashlib
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from bench.cli import weights as command
from bench.download.connection import OFFLINE
from bench.download.fetch import Wanted
from bench.errors import BenchError, WrongUsage
from bench.files import sha256_file
from bench.registry import hashes, obtain
from bench.registry.hashes import differences
from bench.registry.obtain import add_weights, get_weights
from bench.registry.places import find_public
from bench.registry.records import find_record, records
from bench.resources import checkpoints
from bench.weights import read_checkpoint
from tests.command import bench, good
from tests.registered import Register, registry, table
from tests.serving import Site, saying, site, whole

DATA = b"weights " * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Records of the test's own, and an empty cache folder."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(OFFLINE, raising=False)
    with registry(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def cache(register: Register, tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def coming(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What downloads bring, one after the other, without any server."""
    queue: list[bytes] = []

    def stand_in(sources: object, target: Path, wanted: Wanted, limits: object) -> str:
        data = queue.pop(0)
        digest = hashlib.sha256(data).hexdigest()
        if wanted.sha256 not in (None, digest):
            raise BenchError(f"{target.name} can't be downloaded.")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        return digest

    monkeypatch.setattr(obtain, "download", stand_in)
    return queue


# What ships


def test_the_shipped_records_are_sound() -> None:
    assert {"prior-256", "codeformer", "gfpgan", "restoreformer", "vqfr"} <= records().keys()
    for record in records().values():
        assert re.fullmatch(r"[a-z0-9-]+", record.name)
        assert record.title
        assert record.licence
        assert record.non_commercial or "non-commercial" not in record.licence
        assert not record.title.endswith(".")


def test_hashes_agree_with_the_digits_that_publishers_put_into_names() -> None:
    """torchvision, torch-fidelity and pyiqa end a file's name with the start of its sha256."""
    checked = 0
    for record in records().values():
        digits = re.search(r"-([0-9a-f]{8})\.pth$", record.file)
        if digits and record.sha256:
            assert record.sha256.startswith(digits[1])
            checked += 1
    assert checked >= 4


def test_the_embedded_checkpoints_have_the_hashes_that_are_noted() -> None:
    """After a new training: sha256sum *.safetensors > ../registry/embedded.sha256, there."""
    noted = (Path(hashes.__file__).with_name("embedded.sha256")).read_text().splitlines()
    there = sorted(checkpoints().glob("*.safetensors"))
    assert noted == [f"{sha256_file(path)}  {path.name}" for path in there]


# Records


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"file": "../x.pth"}, r"'\.\./x\.pth' is no plain file name"),
        ({"file": ".x"}, r"'\.x' is no plain file name"),
        ({"sha256": "81d5"}, "sha256 must be 64 small hexadecimal digits"),
        ({"sha256": "A" * 64}, "sha256 must be 64 small hexadecimal digits"),
        ({"size": 0}, "size is 0, but must be at least 1"),
        ({"size": "9"}, "size is '9', but must be a whole number"),
        ({"sources": []}, "has neither `sources` nor `by_hand`"),
        ({"sources": ["http://x.org/y"]}, "http://x.org/y must begin with https, or the hash"),
        ({"sources": ["file:///x"], "sha256": DIGEST}, "file:///x must begin with https"),
        ({"sha265": DIGEST}, "has no 'sha265': did you mean 'sha256'"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    register: Register, values: dict[str, object], said: str
) -> None:
    register(table("net", **values))
    with pytest.raises(WrongUsage, match=said) as caught:
        records()
    assert "net" in str(caught.value)


def test_two_records_do_not_share_a_file(register: Register) -> None:
    register(table("a", file="x.pth") + table("b", file="x.pth"))
    with pytest.raises(WrongUsage, match=r"x\.pth stands in two records"):
        records()


def test_an_unknown_name_comes_with_the_nearest(register: Register) -> None:
    register(table("codeformer"))
    with pytest.raises(WrongUsage, match=r"no weights 'codeformr': did you mean codeformer\?"):
        find_record("codeformr")
    with pytest.raises(WrongUsage, match=r"no weights 'x': `bench weights list` has all names"):
        find_public("x")


def test_what_is_missing_comes_with_the_command_that_gets_it(register: Register) -> None:
    register(table("a") + table("b", by_hand="their page"))
    with pytest.raises(BenchError, match=r"^a\.pth is not here: run `bench weights get a`\.$"):
        find_public("a")
    said = r"b\.pth is not here: download it from their page and run `bench weights add b FILE`\.$"
    with pytest.raises(BenchError, match=said):
        find_public("b")
    with pytest.raises(BenchError, match=r"No address gives b\.pth itself: download it from their"):
        get_weights("b")


# Getting


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


def test_offline_is_told_by_the_command(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(table("net"))
    monkeypatch.setenv(OFFLINE, "1")
    outcome = bench("weights", "get", "net")
    assert outcome.code == 1
    assert "net.pth would have to be downloaded, but BENCH_OFFLINE forbids" in outcome.err


def test_what_has_no_published_hash_is_held_to_its_first_use(
    register: Register, coming: list[bytes], cache: Path
) -> None:
    register(table("net"))
    coming += [b"first", b"second", b"second"]
    digest = hashlib.sha256(b"first").hexdigest()
    out = good("weights", "get", "net").out
    assert "Nobody has published a hash of net.pth: it is trusted as it came." in out
    assert digest in out
    assert (cache / "net.pth.sha256").read_text() == f"{digest}  net.pth\n"
    (cache / "net.pth").unlink()
    said = r"Its hash is that of the first download; .* remove .*net\.pth\.sha256"
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
    assert "Nobody has published a hash of free.pth" in good("weights", "add", "free", file).out
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


# Licences


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


# Looking, later


def test_list_says_what_is_here_and_tells_all_about_one(
    register: Register, coming: list[bytes], cache: Path
) -> None:
    register(
        table("net", sha256=DIGEST, size=8_000_000, terms="https://terms")
        + table("free", by_hand="X")
    )
    coming += [DATA]
    lines = good("weights", "list").out.splitlines()
    assert "net                      not here  A network (8 MB, MIT)" in lines
    assert "free                     not here  A network (MIT)" in lines
    assert "lpips                    not here  LPIPS's backbones" in lines
    about = good("weights", "list", "net").out
    assert re.search(rf"sha256 +{DIGEST}\n", about)
    assert re.search(r"size +8,000,000 bytes\n", about)
    assert re.search(r"licence +MIT https://terms\n", about)
    assert re.search(r"sources +https://localhost/none\n", about)
    assert re.search(r"here +no: bench weights get net\n", about)
    about = good("weights", "list", "free").out
    assert re.search(r"sha256 +not known\n", about)
    assert re.search(r"by hand +X\n", about)
    get_weights("net")
    assert re.search(rf"here +{cache / 'net.pth'}\n", good("weights", "list", "net").out)
    assert "net                      here      A network (8 MB, MIT)" in good("weights", "list").out


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one checkpoint that ships, and its note."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    (folder / "prior.safetensors").write_bytes(DATA)
    (tmp_path / "note").write_text(f"{DIGEST}  prior.safetensors\n")
    monkeypatch.setattr(hashes, "_EMBEDDED", tmp_path / "note")
    monkeypatch.setattr(hashes, "checkpoints", lambda: folder)
    return folder


def test_verify_hashes_everything_again(
    register: Register, coming: list[bytes], cache: Path, embedded: Path
) -> None:
    register(table("net", sha256=DIGEST) + table("free") + table("absent"))
    coming += [DATA, b"first"]
    get_weights("net")
    get_weights("free")
    assert good("weights", "verify").out == "3 files are what they should be.\n"
    for path in (cache / "net.pth", cache / "free.pth", embedded / "prior.safetensors"):
        path.write_bytes(path.read_bytes() + b"x")
        outcome = bench("weights", "verify")
        assert outcome.code == 1
        assert str(path) in outcome.out
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        str(embedded / "prior.safetensors"),
        str(cache / "net.pth"),
        str(cache / "free.pth"),
    ]
    assert "3 of the weights are not what they should be" in outcome.err


def test_verify_tells_what_is_missing_strange_or_never_recorded(
    register: Register, cache: Path, embedded: Path
) -> None:
    register(table("net"))
    cache.mkdir()
    (cache / "net.pth").write_bytes(DATA)
    (embedded / "prior.safetensors").rename(embedded / "other.safetensors")
    hashed, found = differences()
    assert hashed == 2
    strange, missing, unrecorded = found
    assert "other.safetensors is not among the checkpoints that ship" in strange
    assert "prior.safetensors is missing: install bench again" in missing
    assert "net.pth came without a record of its hash" in unrecorded
    assert "`bench weights get net`" in unrecorded
    (cache / "net.pth.sha256").write_text("hello\n")
    with pytest.raises(BenchError, match=r"net\.pth\.sha256 is damaged: it should hold lines of"):
        differences()


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_malicious_pickle_that_was_trusted_still_does_nothing(
    register: Register, coming: list[bytes], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    data = pickle.dumps({"weights": Code(trace)})
    register(table("net", file="net.pt"))
    coming += [data]
    path = get_weights("net")
    good("weights", "verify")
    with pytest.raises(BenchError, match="or holds more than tensors"):
        read_checkpoint(path, "prior")
    assert not trace.exists()
    pickle.loads(data)
    assert trace.exists()  # so the trap was one
