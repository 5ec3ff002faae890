"""Folders and archives of photographs: names, links, and paths that lead outside."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.files import write_bytes
from bench.images import encode_png
from tests.bad_input.case import PREPARE, Accepted, Refused
from tests.small import picture

PNG = encode_png(picture(3))
FROM = "prepare celeba --scale 4 --name new --source"


def named(*names: str) -> Callable[[Path], None]:
    """Write photographs of these names into a folder of their own."""

    def make(home: Path) -> None:
        for name in names:
            write_bytes(home / "odd" / name, PNG)

    return make


def zipped(*names: str, **files: bytes) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        with zipfile.ZipFile(home / "odd.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {**dict.fromkeys(names, PNG), **files}.items():
                archive.writestr(name, data)

    return make


def zip_link(home: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(home / "odd.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")


def locked_zip(home: Path) -> None:
    """Return a zip whose member is marked as encrypted."""
    zipped("a.png")(home)
    data = bytearray((home / "odd.zip").read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + flags] |= 1
    (home / "odd.zip").write_bytes(data)


def damaged_zip(home: Path) -> None:
    zipped("a.png")(home)
    data = bytearray((home / "odd.zip").read_bytes())
    data[200:240] = bytes(40)
    (home / "odd.zip").write_bytes(data)


def tarred(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        member.size = len(PNG) if kind == tarfile.REGTYPE else 0
        with tarfile.open(home / "odd.tar.gz", "w:gz") as archive:
            archive.addfile(member, io.BytesIO(PNG))

    return make


def torn_tar(home: Path) -> None:
    tarred("a.png")(home)
    data = (home / "odd.tar.gz").read_bytes()
    (home / "odd.tar.gz").write_bytes(data[: len(data) // 2])


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet(columns: Mapping[str, Any], **options: Any) -> Callable[[Path], None]:
    return lambda home: pq.write_table(pa.table(columns), home / "odd.parquet", **options)


def torn_parquet(home: Path) -> None:
    parquet({"image": [{"bytes": PNG, "path": "a.png"}]})(home)
    data = (home / "odd.parquet").read_bytes()
    (home / "odd.parquet").write_bytes(data[:60] + bytes(60) + data[120:])


def not_text(home: Path) -> None:
    write_bytes(home / "odd" / os.fsdecode(b"caf\xe9.png"), PNG)


def linked(target: str) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        named("a.png")(home)
        (home / "odd" / "b.png").symlink_to(target)

    return make


def loop(home: Path) -> None:
    named("a.png")(home)
    (home / "odd" / "loop").symlink_to(".")


OUT = "points outside it: do not use this archive"
REFUSED = {
    "a source that is not there": Refused(f"{FROM} fotos", ("fotos does not exist", "--source")),
    "a photograph as the source": Refused(
        f"{FROM} photos/face-0.png",
        ("face-0.png is neither a folder nor a zip, tar or Parquet file", "give another"),
    ),
    "an empty folder": Refused(
        f"{FROM} odd", ("odd holds no images", ".png"), lambda home: (home / "odd").mkdir()
    ),
    "a folder of texts": Refused(f"{FROM} odd", ("odd holds no images", ".png"), named("a.txt")),
    "hidden files alone": Refused(f"{FROM} odd", ("odd holds no images",), named(".a.png")),
    "two files of one name": Refused(
        f"{FROM} odd",
        ("a.jpg and a.png would get the same name", "rename one"),
        named("a.jpg", "a.png"),
    ),
    "a folder and a file that meet": Refused(
        f"{FROM} odd", ("a/b.png and a__b.png would get", "rename"), named("a/b.png", "a__b.png")
    ),
    "a line break in a name": Refused(
        f"{FROM} odd", ("'a\\nb.png'", "control character", "rename it"), named("a\nb.png")
    ),
    "an escape sequence in a name": Refused(
        f"{FROM} odd",
        ("'a\\x1b[31m.png'", "control character", "rename it"),
        named("a\x1b[31m.png"),
    ),
    "a name that is no text": Refused(
        f"{FROM} odd", ("'caf\\udce9.png'", "UTF-8", "rename it"), not_text
    ),
    "folders whose names are too long": Refused(
        f"{FROM} odd",
        ("bbb.png'", "more than 251 bytes: rename it"),
        named(f"{'a' * 150}/{'b' * 150}.png"),
    ),
    "a link that leads nowhere": Refused(
        f"{FROM} odd", ("odd/b.png is a broken link", "remove it"), linked("none")
    ),
    "fewer than --count": Refused(
        f"{PREPARE} --count 3", ("photos holds 2 images, but --count is 3",)
    ),
    "a zip that leads out": Refused(f"{FROM} odd.zip", ("../a.png", OUT), zipped("../a.png")),
    "a zip from the root": Refused(f"{FROM} odd.zip", ("/a.png", OUT), zipped("/a.png")),
    "a zip with Windows' way out": Refused(f"{FROM} odd.zip", (OUT,), zipped("..\\..\\a.png")),
    "a zip with a drive": Refused(f"{FROM} odd.zip", (OUT,), zipped("C:\\a.png")),
    "a zip with a link": Refused(
        f"{FROM} odd.zip", ("a.png as a link", "pack the files themselves"), zip_link
    ),
    "a zip with a bomb": Refused(
        f"{FROM} odd.zip",
        ("unpack to more than 100 times its size at a.png", "do not use this archive"),
        zipped(**{"a.png": bytes(2**22)}),
    ),
    "a zip with a password": Refused(f"{FROM} odd.zip", ("odd.zip", "encrypted"), locked_zip),
    "a damaged zip": Refused(f"{FROM} odd.zip", ("odd.zip", "is damaged"), damaged_zip),
    "a zip without images": Refused(f"{FROM} odd.zip", ("odd.zip holds no images",), zipped("a")),
    "a tar that leads out": Refused(f"{FROM} odd.tar.gz", ("../a.png", OUT), tarred("../a.png")),
    "a tar from the root": Refused(f"{FROM} odd.tar.gz", ("/a.png", OUT), tarred("/a.png")),
    "a tar with a link": Refused(
        f"{FROM} odd.tar.gz", ("a.png as a link",), tarred("a.png", tarfile.SYMTYPE)
    ),
    "a tar with a hard link": Refused(
        f"{FROM} odd.tar.gz", ("a.png as a link",), tarred("a.png", tarfile.LNKTYPE)
    ),
    "a tar with a device": Refused(
        f"{FROM} odd.tar.gz", ("a.png as a link",), tarred("a.png", tarfile.CHRTYPE)
    ),
    "half of a tar": Refused(f"{FROM} odd.tar.gz", ("odd.tar.gz",), torn_tar),
    "a damaged Parquet file": Refused(f"{FROM} odd.parquet", ("odd.parquet",), torn_parquet),
    "a web page as Parquet": Refused(
        f"{FROM} odd.parquet",
        ("odd.parquet is damaged or can't be read",),
        lambda home: write_bytes(home / "odd.parquet", b"<html>"),
    ),
    "Parquet without images": Refused(
        f"{FROM} odd.parquet",
        ("has no column `image`", "its columns are text"),
        parquet({"text": ["a"]}),
    ),
    "Parquet with paths only": Refused(
        f"{FROM} odd.parquet",
        ("Row 0 of odd.parquet holds no image's bytes",),
        parquet({"image": [{"bytes": None, "path": "/etc/passwd"}]}),
    ),
    "Parquet with a photograph of zeros": Refused(
        f"{FROM} odd.parquet",
        ("unpack to more than 100 times its size at image.bytes", "do not use"),
        parquet({"image": [{"bytes": bytes(2**22), "path": "a.png"}]}, compression="zstd"),
    ),
    "Parquet of a million rows of nothing": Refused(
        f"{FROM} odd.parquet",
        ("odd.parquet holds more than 1,000,000 images", "give a part of it"),
        parquet({"image": pa.nulls(1_000_001, STRUCT)}),
    ),
    "the hub without a network": Refused(
        f"{FROM} hf:owner/name --count 1", ("hf:owner/name:train", "BENCH_OFFLINE", "unset it")
    ),
    "the hub, mistyped": Refused(
        f"{FROM} hf:celeba", ("hf:celeba is not of the form hf:OWNER/NAME",), code=2
    ),
}


def images_are(*expected: str) -> Callable[[Path], None]:
    """Check the ids of the test set's images."""

    def holds(home: Path) -> None:
        manifest = json.loads((home / "testsets" / "new" / "manifest.json").read_text())
        assert [entry["id"] for entry in manifest["images"]] == list(expected)
        for name in expected:
            assert (home / "testsets" / "new" / "hr" / f"{name}.png").is_file()

    return holds


LONG = "x" * 251
ODD = ("two words", "Zoë", "中文", "🙂", "a'b\"c", "$HOME", "-rf", "100%", "{image}", "[a-z]*")

ACCEPTED = {
    "names with blanks, quotes, accents and emoji": Accepted(
        f"{FROM} odd", named(*(f"{name}.png" for name in ODD)), images_are(*sorted(ODD))
    ),
    "a name of 255 bytes": Accepted(f"{FROM} odd", named(f"{LONG}.png"), images_are(LONG)),
    "folders in folders": Accepted(
        f"{FROM} odd", named("a/b/c.png", "d.png"), images_are("a__b__c", "d")
    ),
    "a link to a photograph": Accepted(
        f"{FROM} odd", linked("../photos/face-0.png"), images_are("a", "b")
    ),
    "a folder that links to itself": Accepted(
        f"{FROM} odd",
        loop,
        images_are("a"),
    ),
    "what macOS adds to a zip": Accepted(
        f"{FROM} odd.zip", zipped("a.png", "__MACOSX/._a.png", ".DS_Store"), images_are("a")
    ),
}
