"""Preparation with a full disk, with another one at the same time, and killed at random."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.testsets.manifest import open_testset
from bench.testsets.recipe import plan_testset
from tests.small import RECIPE, photos, prepared
from tests.testsets.test_prepare import contents

ROOT = Path(__file__).parents[2]
PLAN = plan_testset("tiny", RECIPE, 4)


def test_without_room_on_the_disk_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = photos(tmp_path / "photos", 4)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=11_000))
    with pytest.raises(
        BenchError, match=r"set needs up to 0 MiB of disk, but 0 MiB are free: free"
    ):
        prepared(PLAN, source, tmp_path / "set")
    assert contents(tmp_path / "set") == {}
    # Four pictures of 16 and 4 px, 3 bytes a pixel and 2 KiB about them: 11,456 bytes.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=11_456))
    prepared(PLAN, source, tmp_path / "set")


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
from bench.testsets.prepare import prepare
from bench.testsets.recipe import Recipe, plan_testset
from bench.testsets.sources import open_source
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
