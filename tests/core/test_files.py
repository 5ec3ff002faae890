"""Files that are whole or absent, journals that survive a kill, hashes."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from bench.core.errors import BenchError, Refused
from bench.core.files import (
    Journal,
    begun,
    read_json,
    replacing,
    sha256,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_becomes_the_file_and_its_folders_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"
    assert names(tmp_path / "a" / "b") == ["file"]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_error_leaves_what_was_there_and_no_litter(
    tmp_path: Path, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error)), replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise error
    assert names(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_until_the_end_readers_see_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == path.parent  # a move within one file system is atomic
    assert path.read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    # A file in the folder's place, because permissions do not stop the superuser.
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(BenchError, match=r"taken/below can't be written: Not a directory\."):
        write_bytes(tmp_path / "taken" / "below" / "file", b"")


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(BenchError, match=r"file can't be written: Is a directory\."):
        write_bytes(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]


def test_json_comes_back_and_can_be_read_by_people(tmp_path: Path) -> None:
    value = {"name": "Ångström", "list": [1, 2.5, None]}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json", "a value") == value
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert '\n  "name": "Ångström",' in text
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"x\.json is missing: it should hold a value\."),
        (b'{"a": ', r"x\.json is damaged .*: it should hold a value\."),
        (b"\xff\xfe", r"x\.json is damaged .*: it should hold a value\."),
    ],
)
def test_json_that_is_missing_or_damaged_says_what_it_should_be(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(BenchError, match=message):
        read_json(tmp_path / "x.json", "a value")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_a_journal_gives_back_its_records_in_order(journal: Journal) -> None:
    assert journal.read() == []
    journal.append([{"id": "a"}, {"id": "b"}])
    journal.append([{"id": "c", "text": "two\nlines"}])
    assert journal.read() == [{"id": "a"}, {"id": "b"}, {"id": "c", "text": "two\nlines"}]


@pytest.mark.parametrize("torn", [b"{", b'{"id": "b', b'{"id": "b"}'])
def test_a_torn_last_line_is_dropped(journal: Journal, torn: bytes) -> None:
    # The third could be read, but who knows whether a number ended where the file does.
    journal.append([{"id": "a"}])
    journal.path.write_bytes(journal.path.read_bytes() + torn)
    assert journal.read() == [{"id": "a"}]
    journal.append([{"id": "c"}])
    assert journal.read() == [{"id": "a"}, {"id": "c"}]


def test_a_journal_of_a_torn_line_alone_is_empty(journal: Journal) -> None:
    journal.path.write_bytes(b'{"id')
    assert journal.read() == []
    journal.append([{"id": "a"}])
    assert journal.read() == [{"id": "a"}]


def test_a_damaged_line_within_is_an_error(journal: Journal) -> None:
    journal.path.write_bytes(b'{"id": "a"}\n\0\0\0\n{"id": "b"}\n')
    with pytest.raises(BenchError, match=r"journal\.jsonl is damaged .*: remove it"):
        journal.read()


def test_a_removed_journal_is_empty_and_may_be_removed_again(journal: Journal) -> None:
    journal.append([{"id": "a"}])
    journal.remove()
    journal.remove()
    assert journal.read() == []


def test_hashes_are_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one piece of a file
    (tmp_path / "file").write_bytes(data)
    assert sha256(data) == sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_the_hash_of_json_knows_values_and_not_the_order_of_keys() -> None:
    value = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert sha256_json(value) == sha256_json({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert sha256_json(value) == sha256_json(json.loads(json.dumps(value)))
    others = [{**value, "a": 2}, {**value, "b": {"c": [2, 1], "d": None}}, {"a": 1}]
    assert len({sha256_json(v) for v in [value, *others]}) == 4


def work(folder: Path, file: Path, end: BaseException) -> None:
    """What is begun in a folder, writes a file, and ends so."""
    with begun(folder):
        write_bytes(file, b"")
        raise end


def test_what_is_refused_leaves_nothing_behind_where_nothing_was(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(Refused, match="no image"):
        work(folder, folder / "c" / "x", Refused("It is no image."))
    assert names(tmp_path) == []


def test_work_that_a_network_or_disk_ended_stays(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="full"):
        work(tmp_path / "a", tmp_path / "a" / "x", BenchError("The disk is full."))
    assert names(tmp_path / "a") == ["x"]
    with pytest.raises(BenchError, match="full"), begun(tmp_path / "b" / "c"):
        raise BenchError("The disk is full.")
    assert names(tmp_path) == ["a"]  # where nothing was made, nothing stays


def test_what_was_there_or_was_only_stopped_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        work(folder, folder / "x", KeyboardInterrupt())
    with pytest.raises(Refused, match="no image"):  # resumed
        work(folder, folder / "y", Refused("It is no image."))
    assert names(folder) == ["x", "y"]


def test_a_folder_that_another_began_beside_it_stays(tmp_path: Path) -> None:
    sets = tmp_path / "sets"
    with pytest.raises(Refused, match="no image"):
        work(sets / "mine", sets / "yours" / "x", Refused("It is no image."))
    assert names(sets) == ["yours"]


@pytest.mark.parametrize("line", [b"[]", b"3", b"{", b"[" * 100_000, b'"x"'])
def test_a_journal_of_other_things_is_damaged(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "j").write_bytes(line + b"\n")
    with pytest.raises(BenchError, match=r"j is damaged .*remove it"):
        Journal(tmp_path / "j").read()


def test_json_of_a_path_that_is_no_text_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "x", {"path": "caf\udce9"})
    assert read_json(tmp_path / "x", "a path") == {"path": "caf\udce9"}
    assert (tmp_path / "x").read_text(encoding="utf-8")
