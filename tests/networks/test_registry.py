"""The registry: what its records may say, and what is noticed of the files later."""

import hashlib
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.core.paths import checkpoints
from bench.networks.checkpoints import read_checkpoint
from bench.networks.registry import hashes
from bench.networks.registry.hashes import changed_weights
from bench.networks.registry.obtain import get_weights
from bench.networks.registry.records import find_public, find_record, records
from tests.command import bench, good
from tests.registered import Register, table

DATA = b"weights " * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"file": "../x.pth"}, r"'\.\./x\.pth' is not a plain file name"),
        ({"file": ".x"}, r"'\.x' is not a plain file name"),
        ({"sha256": "81d5"}, "sha256 must be 64 lowercase hexadecimal digits"),
        ({"sha256": "A" * 64}, "sha256 must be 64 lowercase hexadecimal digits"),
        ({"size": 0}, "size is 0, but must be at least 1"),
        ({"size": "9"}, "size is '9', but must be a whole number"),
        ({"sources": []}, "has neither `sources` nor `by_hand`"),
        (
            {"sources": ["http://x.org/y"]},
            "http://x.org/y must begin with https, or have a known hash",
        ),
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


def test_list_tells_what_lpips_is_made_from() -> None:
    out = good("weights", "list", "lpips").out
    assert "alexnet-owt-7be5be79.pth" in out
    assert "vgg16-397923af.pth" in out


def test_two_records_do_not_share_a_file(register: Register) -> None:
    register(table("a", file="x.pth") + table("b", file="x.pth"))
    with pytest.raises(WrongUsage, match=r"x\.pth appears in two records"):
        records()


def test_an_unknown_name_comes_with_the_nearest(register: Register) -> None:
    register(table("codeformer"))
    with pytest.raises(
        WrongUsage, match=r"Unknown weights 'codeformr': did you mean 'codeformer'\?"
    ):
        find_record("codeformr")
    with pytest.raises(WrongUsage, match=r"Unknown weights 'x': `bench weights list` lists all"):
        find_public("x")


def test_what_is_missing_comes_with_the_command_that_gets_it(register: Register) -> None:
    register(table("a") + table("b", by_hand="their page"))
    with pytest.raises(BenchError, match=r"^a\.pth is missing: run `bench weights get a`\.$"):
        find_public("a")
    said = r"b\.pth is missing: download it from their page and run `bench weights add b FILE`\.$"
    with pytest.raises(BenchError, match=said):
        find_public("b")
    with pytest.raises(BenchError, match=r"b\.pth has no direct download: get it from their"):
        get_weights("b")


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
    assert good("weights", "verify").out == "3 files match their hashes.\n"
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
    assert "3 weight files do not match their hashes" in outcome.err


def test_verify_tells_what_is_missing_strange_or_never_recorded(
    register: Register, cache: Path, embedded: Path
) -> None:
    register(table("net"))
    cache.mkdir()
    (cache / "net.pth").write_bytes(DATA)
    (embedded / "prior.safetensors").rename(embedded / "other.safetensors")
    hashed, found = changed_weights()
    assert hashed == 2
    strange, missing, unrecorded = found
    assert "other.safetensors is not an embedded checkpoint" in strange
    assert "prior.safetensors is missing: install bench again" in missing
    assert "net.pth has no recorded hash" in unrecorded
    assert "`bench weights get net`" in unrecorded
    (cache / "net.pth.sha256").write_text("hello\n")
    with pytest.raises(BenchError, match=r"net\.pth\.sha256 is damaged: it should hold lines of"):
        changed_weights()


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
    with pytest.raises(BenchError, match="or contains more than tensors"):
        read_checkpoint(path, "prior")
    assert not trace.exists()
    pickle.loads(data)
    assert trace.exists()  # so the trap was one
