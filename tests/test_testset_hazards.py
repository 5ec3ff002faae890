"""Files that are not what they seem, two preparations at once, kills, and a full disk."""

import io
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.errors import BenchError
from bench.files import write_bytes
from bench.images import encode_png
from bench.testset.manifest import open_testset
from bench.testset.recipe import plan_testset
from tests.small import RECIPE, photos, picture, prepared
from tests.test_testset_prepare import contents

ROOT = Path(__file__).parents[1]
PLAN = plan_testset("tiny", RECIPE, 4)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what we like, beside pixels that may be anything."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animation() -> bytes:
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def deep() -> bytes:
    return png(16, 16, b"".join(b"\0" + bytes(16 * 6) for _ in range(16)), depth=16)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "40,000 px wide": (lambda: png(40_000, 40_000, b""), "has more pixels than a face image can"),
    # A thousandth of what it says it unpacks to, and all of it there.
    "bomb": (lambda: png(20_000, 20_000, bytes(2**20)), "has more pixels than a face image can"),
    "animated": (animation, "holds 3 frames or pages: give a still image"),
    "16 bits": (deep, "has more than 8 bits per channel: convert it to 8 bits"),
    "zero bytes": (lambda: b"", "can't be read as an image"),
    "a text": (lambda: b"<html>not found</html>", "can't be read as an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_photograph_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    make, message = REFUSED[name]
    source = photos(tmp_path / "photos", 2)
    file = "odd.gif" if name == "animated" else "odd.png"
    write_bytes(source / file, make())
    with pytest.raises(BenchError, match=f"{file} {message}"):
        prepared(PLAN, source, tmp_path / "set")
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_cmyk_turned_and_misnamed_photographs_become_what_a_viewer_shows(tmp_path: Path) -> None:
    upright = picture(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right by a quarter
    grey = Image.fromarray(np.full((16, 16, 3), 90, np.uint8))
    files = {
        "turned.png": encoded(Image.fromarray(np.rot90(upright)), "PNG", exif=exif),
        "misnamed.jpg": encode_png(upright),  # contents decide, not names
        "cmyk.jpg": encoded(grey.convert("CMYK"), "JPEG", quality=100),
    }
    for name, data in files.items():
        write_bytes(tmp_path / "photos" / name, data)
    testset = prepared(PLAN, tmp_path / "photos", tmp_path / "set").testset
    np.testing.assert_array_equal(testset.hr("turned"), upright)
    np.testing.assert_array_equal(testset.hr("misnamed"), upright)
    # A level or two: JPEG rounds, and each of four channels once more on the way back.
    np.testing.assert_allclose(testset.hr("cmyk").astype(int), 90, atol=2)


def test_without_room_on_the_disk_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = photos(tmp_path / "photos", 4)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=11_000))
    with pytest.raises(
        BenchError, match=r"set needs up to 0 MiB of disk, but 0 MiB are free: make"
    ):
        prepared(PLAN, source, tmp_path / "set")
    assert contents(tmp_path / "set") == {}
    # Four pictures of 16 and 4 px, 3 bytes a pixel and 2 KiB about them: 11,456 bytes.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=11_456))
    prepared(PLAN, source, tmp_path / "set")


# --- Two at once, and kills -----------------------------------------------------------------------


def test_two_preparations_at_once_make_one_whole_set(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", 30, size=20)
    outcomes: list[bool] = []

    def one() -> None:
        outcomes.append(prepared(PLAN, source, tmp_path / "set").was_there)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, True, True]
    alone = prepared(PLAN, source, tmp_path / "alone").testset
    assert contents(tmp_path / "set") == contents(alone.folder)


def test_a_kill_behind_the_manifest_leaves_no_journal(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    folder = prepared(PLAN, source, tmp_path / "set").testset.folder
    whole = contents(folder)
    (folder / ".progress.jsonl").write_text("")
    assert prepared(PLAN, source, folder).was_there
    assert contents(folder) == whole


KILLS = int(os.environ.get("BENCH_TEST_KILLS", "4"))
"""How often the preparation below is killed."""

STORM = """
import sys
from pathlib import Path
from bench.testset.prepare import prepare
from bench.testset.recipe import Recipe, plan_testset
from bench.testset.sources import open_source
recipe = Recipe("Tiny", "", "", "", "", size=64)
plans = [plan_testset("tiny", recipe, scale) for scale in (4, 8)]
folder = Path(sys.argv[1])
print("begun", flush=True)
prepare({folder / p.name: p for p in plans}, recipe, open_source(sys.argv[2]), None, workers=2)
"""


def storm(folder: Path, source: Path) -> "subprocess.Popen[bytes]":
    """A preparation of two sets in two processes, that has begun."""
    command = [sys.executable, "-c", STORM, str(folder), str(source)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def test_killed_at_random_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", 64, size=64)
    start = time.monotonic()
    with storm(tmp_path / "undisturbed", source) as process:
        assert process.wait(300) == 0
    takes = time.monotonic() - start
    chance = random.Random(0)
    killed = 0
    while killed < KILLS:
        with storm(tmp_path / "sets", source) as process:
            try:
                process.wait(chance.uniform(0, takes))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            else:
                assert process.returncode == 0
                shutil.rmtree(tmp_path / "sets")  # it was done first: again from the start
    with storm(tmp_path / "sets", source) as process:
        assert process.wait(300) == 0
    assert contents(tmp_path / "sets") == contents(tmp_path / "undisturbed")
    assert len(open_testset(tmp_path / "sets" / "tiny-64-x8").entries) == 64


def test_workers_do_not_outlive_a_killed_preparation(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", 200, size=128)
    with storm(tmp_path / "sets", source) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers: list[str] = []
        deadline = time.monotonic() + 20
        while len(workers) < 2 and time.monotonic() < deadline:  # one may be multiprocessing's own
            workers = children.read_text().split()
            time.sleep(0.02)
        assert len(workers) >= 2
        process.kill()
    while time.monotonic() < deadline + 20 and any(Path(f"/proc/{w}").exists() for w in workers):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{w}").exists() for w in workers)
