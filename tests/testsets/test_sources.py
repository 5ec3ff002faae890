"""Sources: the same photographs from a folder, an archive, Parquet or the hub; what is refused."""

import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench.images
import bench.testsets.archives
import bench.testsets.photographs
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import write_bytes
from bench.images import encode_png
from bench.testsets.hub import HubSource
from bench.testsets.recipe import plan_testset
from bench.testsets.sources import open_source
from tests.small import RECIPE, photos, picture, prepared

NAMES = ("b.png", "a/d.png", "a/c.jpg")
FILES = {name: encode_png(picture(seed)) for seed, name in enumerate(NAMES)}
OTHERS = {"notes.txt": b"x", ".hidden.png": b"x", "__MACOSX/._b.png": b"x"}


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        write_bytes(root / "images" / name, data)
    return root / "images"


def zipped(root: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(root / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return root / "images.zip"


def tarred(root: Path, files: dict[str, bytes], kind: str = "w:gz") -> Path:
    with tarfile.open(root / "images.tar", kind) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return root / "images.tar"


def plain_tar(root: Path, files: dict[str, bytes]) -> Path:
    return tarred(root, files, "w")


def parquet(path: Path, rows: list[Any], column: str = "image") -> Path:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: pa.array(rows, struct), "label": [0] * len(rows)}), path)
    return path


Maker = Callable[[Path, dict[str, bytes]], Path]


@pytest.mark.parametrize("make", [folder, zipped, tarred, plain_tar])
def test_folders_and_archives_give_the_same_photographs(tmp_path: Path, make: Maker) -> None:
    source = open_source(str(make(tmp_path, FILES | OTHERS)))
    assert source.ids(None) == ["a__c", "a__d", "b"]  # in the order of names, not of the archive
    photographs = {photo.id: photo for photo in source.photographs({"b", "a__c"})}
    assert photographs.keys() == {"b", "a__c"}
    assert photographs["b"].data == FILES["b.png"]
    assert photographs["a__c"].data == FILES["a/c.jpg"]
    assert "a/c.jpg" in photographs["a__c"].name


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_test_set_is_the_same_from_an_archive(tmp_path: Path, make: Maker) -> None:
    plan = plan_testset("tiny", RECIPE, 4)
    first = prepared(plan, make(tmp_path, FILES), tmp_path / "x").testset
    second = prepared(plan, folder(tmp_path, FILES), tmp_path / "y").testset
    assert [e.files for e in first.manifest.images] == [e.files for e in second.manifest.images]


@pytest.mark.parametrize("make", [folder, zipped, tarred])
def test_two_files_of_one_id_are_refused(tmp_path: Path, make: Maker) -> None:
    source = open_source(str(make(tmp_path, {"a.png": b"1", "a.jpg": b"2"})))
    with pytest.raises(
        BenchError, match=r"a\.jpg and (\./)?a\.png would get the same name: rename one"
    ):
        source.ids(None)


def test_parquet_rows_are_counted_over_all_files(tmp_path: Path) -> None:
    images = [{"bytes": encode_png(picture(seed)), "path": "same.png"} for seed in range(40)]
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", images[:19])
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", images[19:])
    source = open_source(str(tmp_path))
    assert source.ids(None) == [f"{row:06}" for row in range(40)]
    found = {p.id: p.data for p in source.photographs({"000018", "000019", "000039"})}
    expected = {f"{row:06}": images[row]["bytes"] for row in (18, 19, 39)}
    assert found == expected
    (photo,) = open_source(str(tmp_path / "data" / "train-00001-of-00002.parquet")).photographs(
        {"000000"}
    )
    assert (photo.data, photo.source) == (images[19]["bytes"], "same.png")


def test_a_photograph_that_stands_in_many_rows_takes_the_room_of_one(tmp_path: Path) -> None:
    size, pool = 2**22, pa.default_memory_pool()
    parquet(tmp_path / "a.parquet", [{"bytes": bytes(size), "path": "a.png"}] * 16)
    before = pool.bytes_allocated()
    source = open_source(str(tmp_path / "a.parquet"))
    for photo in source.photographs({f"{row:06}" for row in range(16)}):
        assert len(photo.data) == size
        assert pool.bytes_allocated() - before < 4 * size  # the dictionary, its page, and one of it


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ([None], "image", "Row 0 of .* holds no image's bytes"),
        ([{"bytes": None, "path": "x.png"}], "image", "Row 0 of .* holds no image's bytes"),
    ],
)
def test_a_row_without_bytes_is_refused(
    tmp_path: Path, rows: list[Any], column: str, message: str
) -> None:
    source = open_source(str(parquet(tmp_path / "x.parquet", rows, column)))
    with pytest.raises(BenchError, match=message):
        list(source.photographs({"000000"}))


def test_parquet_of_another_layout_is_refused_and_of_another_name_read(tmp_path: Path) -> None:
    row = {"bytes": b"data", "path": None}
    (photo,) = open_source(str(parquet(tmp_path / "a.parquet", [row], "face"))).photographs(
        {"000000"}
    )
    assert photo.data == b"data"
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(BenchError, match=r"no column `image` of bytes and path.* columns are x"):
        list(open_source(str(tmp_path / "b.parquet")).photographs({"000000"}))
    write_bytes(tmp_path / "c.parquet", b"PAR1 no more")
    with pytest.raises(BenchError, match=r"c\.parquet is damaged or can't be read"):
        open_source(str(tmp_path / "c.parquet")).ids(None)


# --- Archives that are not to be trusted ---------------------------------------------------------


def tar_member(root: Path, **fields: Any) -> Path:
    with tarfile.open(root / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("face.png")
        for name, value in fields.items():
            setattr(member, name, value)
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return root / "bad.tar"


def zip_link(root: Path) -> Path:
    member = zipfile.ZipInfo("face.png")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(root / "bad.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    return root / "bad.zip"


OUTSIDE = "which points outside it: do not use this archive"
LINK = "holds face.png as a link, not as a file"
BOMB = "would unpack to more than 100 times its size at face.png"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: zipped(root, {"../face.png": b""}), OUTSIDE),
        (lambda root: zipped(root, {"a/../../face.png": b""}), OUTSIDE),
        (lambda root: zipped(root, {"/face.png": b""}), OUTSIDE),
        (lambda root: zipped(root, {"..\\face.png": b""}), OUTSIDE),
        (lambda root: tar_member(root, name="../face.png"), OUTSIDE),
        (lambda root: tar_member(root, name="/face.png"), OUTSIDE),
        (zip_link, LINK),
        (lambda root: tar_member(root, type=tarfile.SYMTYPE, linkname="/etc/passwd"), LINK),
        (lambda root: tar_member(root, type=tarfile.LNKTYPE, linkname="../x"), LINK),
        (lambda root: tar_member(root, type=tarfile.CHRTYPE), LINK),
        (lambda root: zipped(root, {"face.png": bytes(2**21)}), BOMB),
        (lambda root: tarred(root, {"face.png": bytes(2**21)}), BOMB.replace("face", "./face")),
    ],
)
def test_an_archive_that_is_not_to_be_trusted_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        open_source(str(make(tmp_path))).ids(None)
    assert {path.suffix for path in tmp_path.rglob("*")} <= {".zip", ".tar"}  # nothing unpacked


@pytest.mark.parametrize("make", [folder, zipped, tarred])
def test_there_are_limits_of_count_and_of_size(
    tmp_path: Path, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(make(tmp_path, FILES)))
    with monkeypatch.context() as patch:
        patch.setattr(bench.testsets.photographs, "MAX_IMAGES", 2)
        with pytest.raises(BenchError, match="holds more than 2 images: give a part of it"):
            source.ids(None)
    for module in (bench.images, bench.testsets.archives):
        monkeypatch.setattr(module, "MAX_BYTES", len(FILES["b.png"]) - 1)
    with pytest.raises(BenchError, match="too large for an image: remove it"):
        list(source.photographs({"b"}))


def encrypted(root: Path) -> Path:
    path = zipped(root, {"face.png": b"x" * 20})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1  # the flag of encryption
    path.write_bytes(data)
    return path


def torn(root: Path) -> Path:
    path = zipped(root, {"face.png": picture(0, 64).tobytes()})
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    return path


def cut_tar(root: Path) -> Path:
    path = tarred(root, {"face.png": picture(0, 64).tobytes()})
    path.write_bytes(path.read_bytes()[:-4000])
    return path


@pytest.mark.parametrize("make", [encrypted, torn, cut_tar])
def test_a_damaged_or_encrypted_archive_is_named(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(BenchError, match=r"images\.(zip|tar) is damaged or can't be read"):
        list(open_source(str(make(tmp_path))).photographs({"face"}))


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x.rar", b"Rar!")
    with pytest.raises(BenchError, match=r"x\.rar is neither a folder nor a zip, tar or Parquet"):
        open_source(str(tmp_path / "x.rar"))
    with pytest.raises(BenchError, match=r"nothing does not exist: give --source a folder, a zip"):
        open_source("nothing")


# --- The hub, of which there is a stand-in here only ----------------------------------------------


def stand_in(monkeypatch: pytest.MonkeyPatch, examples: int | None) -> list[int]:
    """A package `datasets` with one dataset of 10 rows; the list grows by the rows fetched."""
    fetched: list[int] = []

    class Stream:
        info = SimpleNamespace(
            splits=None if examples is None else {"test": SimpleNamespace(num_examples=examples)}
        )

        def select_columns(self, names: list[str]) -> "Stream":
            assert names == ["image"]
            return self

        def cast_column(self, name: str, kind: Any) -> "Stream":
            assert (name, kind) == ("image", "undecoded")
            return self

        def __iter__(self) -> Any:
            for row in range(10):
                fetched.append(row)
                yield {"image": {"bytes": encode_png(picture(row)), "path": None}}

    def load_dataset(name: str, split: str, streaming: bool) -> Stream:
        if name != "owner/faces":
            raise FileNotFoundError(name)
        assert (split, streaming) == ("test", True)
        return Stream()

    package: Any = ModuleType("datasets")
    package.load_dataset = load_dataset
    package.Image = lambda decode: "decoded" if decode else "undecoded"
    monkeypatch.setitem(sys.modules, "datasets", package)
    return fetched


def test_of_the_hub_only_what_is_needed_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = stand_in(monkeypatch, 10)
    plan = plan_testset("tiny", RECIPE, 4)
    source = "hf:owner/faces:test"
    testset = prepared(plan, source, tmp_path / "set", count=3).testset
    assert list(testset.entries) == ["000000", "000001", "000002"]
    assert fetched == [0, 1, 2]
    assert (testset.hr("000002") == picture(2)).all()


def test_a_dataset_of_the_hub_that_does_not_say_its_size_needs_a_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch, None)
    source = open_source("hf:owner/faces:test")
    with pytest.raises(BenchError, match=r"hf:owner/faces:test does not say .* give --count"):
        source.ids(None)
    assert source.ids(2) == ["000000", "000001"]
    with pytest.raises(BenchError, match=r"hf:owner/none:test can't be opened"):
        HubSource("owner/none", "test").ids(2)


def test_a_network_that_fails_half_way_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch, 10)
    taken = open_source("hf:owner/faces:test").photographs({"000001", "000099"})
    assert next(taken).id == "000001"
    monkeypatch.setattr("tests.testsets.test_sources.encode_png", broken)
    with pytest.raises(
        BenchError, match=r"hf:owner/faces:test cannot be read further \(the line is dead"
    ):
        next(taken)


def broken(pixels: Any) -> bytes:
    raise ConnectionError("the line is dead")


def test_without_its_package_the_hub_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # its import fails
    with pytest.raises(BenchError, match=r"pip install -e '\.\[hub\]'"):
        open_source("hf:owner/faces").ids(1)


@pytest.mark.parametrize("name", ["faces", "a/b/c", "a/b:", "../b c"])
def test_a_name_on_the_hub_has_an_owner(name: str) -> None:
    with pytest.raises(WrongUsage, match="is not of the form hf:OWNER/NAME"):
        open_source(f"hf:{name}")


def test_a_folder_with_images_is_one_even_beside_parquet(tmp_path: Path) -> None:
    photos(tmp_path / "x", 2)
    write_bytes(tmp_path / "x" / "index.parquet", b"")
    assert open_source(str(tmp_path / "x")).ids(None) == ["face-0", "face-1"]
