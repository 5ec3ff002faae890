"""One archive of many files: the same bytes each time, and each byte vouched for."""

import io
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.core.files import sealed_json, sha256
from bench.sharing import bundle
from bench.sharing.bundle import MANIFEST, Member, open_bundle, write_bundle

LONG = "results/" + "n" * 240 + "/" + "\N{GREEK SMALL LETTER PHI}" * 100 + ".png"
FILES: dict[str, Path | bytes] = {
    "table.md": b"a table",
    "results/t/run/run.json": b"{}" * 400,
    LONG: b"",
    "block": bytes(512),
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "a.tar", FILES)
    return tmp_path / "a.tar"


def found(path: Path) -> list[str]:
    """What is wrong with an archive, whichever way it is told."""
    try:
        return open_bundle(path).differences()
    except BenchError as error:
        return [str(error)]


def of_manifest(path: Path, value: object, rest: bytes = b"") -> None:
    """An archive whose manifest is this one, sealed as if it were right."""
    data = sealed_json(value)  # type: ignore[arg-type]
    stream = io.BytesIO()
    bundle._put(stream, MANIFEST, data)
    path.write_bytes(stream.getvalue() + rest + bytes(1024))


def test_what_was_packed_is_read(archive: Path) -> None:
    opened = open_bundle(archive)
    assert {name: opened.read(name) for name in opened.members} == FILES
    assert opened.differences() == []


def test_any_program_for_tar_can_open_it(archive: Path) -> None:
    with tarfile.open(archive, "r:") as tar:
        members = {member.name: member for member in tar}
        assert list(members) == [MANIFEST, *FILES]
        for name, data in FILES.items():
            file = tar.extractfile(name)
            assert file is not None
            assert file.read() == data
    assert {(m.mtime, m.uid, m.uname, m.mode) for m in members.values()} == {(0, 0, "", 0o644)}


def test_equal_files_make_equal_archives(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a table")
    write_bundle(tmp_path / "b.tar", {**FILES, "table.md": tmp_path / "file"})
    assert (tmp_path / "b.tar").read_bytes() == archive.read_bytes()


def test_a_flipped_bit_is_found_wherever_it_is(archive: Path) -> None:
    data = archive.read_bytes()
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        archive.write_bytes(flipped)
        assert found(archive), position


def test_a_changed_file_is_named(archive: Path) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"a table", b"A table"))
    assert found(archive) == [f"{archive}: table.md has changed."]
    with pytest.raises(BenchError, match=r"table\.md has changed"):
        open_bundle(archive).read("table.md")
    archive.write_bytes(data.replace(b"block\0", b"black\0"))
    (line,) = found(archive)[-1:]
    assert "block" in line


@pytest.mark.parametrize("cut", [1, 512, 1024, 2000])
def test_something_missing_or_added_is_found(archive: Path, cut: int) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[:-cut])
    assert "something is missing" in found(archive)[0]
    archive.write_bytes(data + bytes(cut))
    assert "something was added" in found(archive)[0]


def test_an_archive_that_was_packed_anew_is_refused(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        for name in ("table.md", MANIFEST):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "is not an archive written by `bench export`" in found(tmp_path / "b.tar")[0]


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 600, bytes(512), bytes(10240)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    assert "is not an archive written by `bench export`" in found(tmp_path / "a.tar")[0]


EMPTY = sha256(b"")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../x", "points outside it"),
        ("/etc/passwd", "points outside it"),
        ("a/../../x", "points outside it"),
        ("C:/x", "points outside it"),
        ("a\\..\\x", "points outside it"),
        ("a\\b", "contains a path separator"),
        ("a//b", "is blank or means a folder"),
        ("a/./b", "is blank or means a folder"),
        ("", "is blank or means a folder"),
        ("a/", "is blank or means a folder"),
        ("a\nb", "has a control character"),
        ("a" * 300, "has more than 251 bytes"),
        ("\ud800", "is not UTF-8"),
        (MANIFEST, "twice"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str, says: str) -> None:
    of_manifest(tmp_path / "a.tar", {"format": 1, "files": [asdict(Member(name, 0, EMPTY))]})
    assert says in found(tmp_path / "a.tar")[0]


@pytest.mark.parametrize("size", [-1, 2**28 + 1, 10**30])
def test_a_size_that_cannot_be_is_refused(tmp_path: Path, size: int) -> None:
    of_manifest(tmp_path / "a.tar", {"format": 1, "files": [asdict(Member("x", size, EMPTY))]})
    assert "which is impossible" in found(tmp_path / "a.tar")[0]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"format": 2, "files": []}, "does not have format 1"),
        ({"files": []}, "does not have format 1"),
        ({"format": 1}, "lacks 'files'"),
        ({"format": 1, "files": [{"name": "x"}]}, "is damaged, or another version's"),
        ({"format": 1, "files": [asdict(Member("x", 0, EMPTY))] * 2}, "names x twice"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    tmp_path: Path, value: dict[str, object], says: str
) -> None:
    of_manifest(tmp_path / "a.tar", value)
    assert says in found(tmp_path / "a.tar")[0]


def test_a_link_in_the_place_of_a_file_is_found(tmp_path: Path) -> None:
    link = tarfile.TarInfo("x")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    value = {"format": 1, "files": [asdict(Member("x", 0, EMPTY))]}
    of_manifest(tmp_path / "a.tar", value, link.tobuf(tarfile.GNU_FORMAT))
    assert found(tmp_path / "a.tar") == [f"{tmp_path / 'a.tar'}: the bytes around x have changed."]


def test_a_header_is_not_obeyed(tmp_path: Path) -> None:
    """One that says a terabyte costs no memory, and one in front of another file is found."""
    info = tarfile.TarInfo(MANIFEST)
    info.size = 2**40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "is not an archive" in found(tmp_path / "a.tar")[0]


def test_a_file_that_changes_meanwhile_leaves_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"before")

    def change(value: dict[str, object]) -> bytes:
        (tmp_path / "file").write_bytes(b"behind")
        return sealed_json(value)

    monkeypatch.setattr(bundle, "sealed_json", change)
    with pytest.raises(BenchError, match="changed while it was packed"):
        write_bundle(tmp_path / "a.tar", {"x": tmp_path / "file"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_manifest_is_for_people_to_read(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(MANIFEST)
        assert file is not None
        value = json.loads(file.read())
    assert value["files"][0] == {"name": "table.md", "size": 7, "sha256": sha256(b"a table")}
