"""Disks that are full or can't be written, files that change between two steps, clocks, signals.

Every command that works long is led into each of them, says so in a sentence, and goes on
afterwards as if nothing had been.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.core.errors import BenchError
from bench.core.files import UNFINISHED
from bench.engine import provenance
from bench.store.run import Run
from bench.testsets.manifest import open_testset
from bench.training import architectures, tasks
from tests.command import Outcome, good
from tests.command import bench as command
from tests.registered import Register, table
from tests.serving import Site, whole
from tests.small import TINY_PRIOR, photos

NETWORK = random.Random(0).randbytes(200_000)
CONFIG = 'size = 16\nbatch = 1\nmetrics = ["psnr"]\ntestset = "celeba-16-x4"\n'
COMMANDS = {
    "weights": "weights get net",
    "prepare": "prepare celeba --source photos --scale 4",
    "train": "train prior --size 16 --data photos --out prior --steps 3 --batch 2 --every 1",
    "run": "run bicubic",
    "sweep": "sweep ilvr --steps 3 --set ilvr.range_t=1 --set ilvr.steps=2 "
    "--prior prior/prior-16.safetensors",
    "evaluate": "evaluate --metric ssim",
    "figure": "figure grid bicubic --out faces.png",
    "report": "report bicubic --html page",
}
"""Every command that works long, in an order in which each has what it needs."""

STATE = 26_600_000
"""Bytes in which one state of the training and its averaged weights fit, but no second state."""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, web: Site, register: Register) -> None:
    """A tiny network, and a record whose file can be had."""
    address = web.serve("/net", whole(NETWORK))
    register(table("net", sources=[address], sha256=hashlib.sha256(NETWORK).hexdigest()))
    monkeypatch.setattr(architectures, "PRIOR_64", TINY_PRIOR)
    monkeypatch.setattr(tasks, "PREVIEW_STEPS", 2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return workspace(tmp_path / "home", monkeypatch)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace on a small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or not mounted("-t", "tmpfs", "-o", "size=96m,mode=755", "tmpfs", str(place)):
        pytest.skip("Only root may mount a small disk.")
    try:
        yield workspace(place, monkeypatch)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mounted(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def workspace(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder a workspace, and the current folder."""
    photos(place / "photos")
    (place / "bench.toml").write_text(CONFIG)
    monkeypatch.chdir(place)
    monkeypatch.setenv("BENCH_CACHE", str(place / "cache"))
    return place


def run(name: str) -> Outcome:
    return command(*COMMANDS[name].split())


def done(name: str) -> str:
    """What a command says that must succeed."""
    outcome = run(name)
    assert outcome.code == 0, (name, outcome)
    return outcome.out


def refused(name: str) -> str:
    """The one sentence of a command that must fail."""
    outcome = run(name)
    assert outcome.code == 1, (name, outcome)
    (error,) = (line for line in outcome.err.splitlines() if line.startswith("error: "))
    assert UNFINISHED not in error, name  # a name that means nothing to anyone
    return error


def goes_on(name: str, place: Path) -> None:
    """The command ends well, all that was written by any is as it was, and nothing lies about."""
    done(name)
    assert not list(place.rglob(f"{UNFINISHED}*")), name
    for kind, target in {"results": "results", "testsets": "celeba-16-x4"}.items():
        if (place / kind).exists():
            good("verify", target)


# --- Disks ----------------------------------------------------------------------------------------


def test_on_a_full_disk_every_command_says_so_and_goes_on_when_there_is_room(disk: Path) -> None:
    for name in COMMANDS:
        for free in (0, 8192, *([STATE] if name == "train" else [])):
            filler = disk / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - free)
            error = refused(name).lower()
            assert "free some space" in error, (name, free)
            assert "the disk is full" in error or "free" in error, (name, free)
            filler.unlink()
        goes_on(name, disk)


def test_on_a_disk_that_can_only_be_read_every_command_says_so(disk: Path) -> None:
    for name in COMMANDS:
        assert mounted("-o", "remount,ro", str(disk))
        assert "Read-only file system" in refused(name), name
        if name == "report":
            good("report", "bicubic")  # reading needs no writing
        assert mounted("-o", "remount,rw", str(disk))
        goes_on(name, disk)


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user to whom nothing belongs: root may write where permissions say no."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_without_permission_every_command_says_so(disk: Path) -> None:
    for path in disk.parents:  # pytest's own folders are for their owner alone
        if path.stat().st_mode & 0o777 == 0o700:
            path.chmod(0o711)
    for name in COMMANDS:
        with nobody():
            assert "Permission denied" in refused(name), name
        goes_on(name, disk)


# --- Files that change between two steps ----------------------------------------------------------


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


SET, RESULTS = "testsets/celeba-16-x4", "results/celeba-16-x4"
FLIPPED = {
    "LR": (f"{SET}/lr/face-1.png", "run", "face-1.png has changed. Test set"),
    "HR": (f"{SET}/hr/face-1.png", "evaluate", "face-1.png has changed. Test set"),
    "scores": (f"{RESULTS}/bicubic-*/scores.parquet", "evaluate", "has changed since it was"),
    "records": (f"{RESULTS}/bicubic-*/records.parquet", "run", "has changed since it was"),
    "state": ("prior/prior-16.checkpoint.pt", "train", "checkpoint.pt is damaged"),
}
"""What is flipped -> where it lies, the command that meets it, and what this says."""


def test_a_flipped_bit_is_found_by_the_next_command_and_named_by_verify(home: Path) -> None:
    for name in ("prepare", "train", "run"):
        done(name)
    for what, (pattern, name, message) in FLIPPED.items():
        (path,) = home.glob(pattern)
        before = path.read_bytes()
        flip(path)
        assert message in refused(name), what
        if what != "state":
            outcome = command("verify", "celeba-16-x4" if what in ("LR", "HR") else "results")
            assert outcome.code == 1, what
            assert f"{path.relative_to(home)} " in outcome.out, what
        path.write_bytes(before)
    goes_on("evaluate", home)


def test_verify_finds_a_flipped_bit_in_whatever_file_it_is(home: Path) -> None:
    for name in ("prepare", "run"):
        done(name)
    (folder,) = home.glob(f"{RESULTS}/bicubic-*")
    (folder / "images" / "face-3.png").unlink()
    Run(folder).note_failures({"face-3": "a face too many"})
    Run(folder).finish([f"face-{number}" for number in range(4)], {})
    done("evaluate")
    good("verify", "results")
    files = [path for room in (SET, RESULTS) for path in (home / room).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"manifest.json", "failures.parquet", "run.json"}
    for path in files:
        before = path.read_bytes()
        flip(path)
        outcome = command("verify", "celeba-16-x4" if home / SET in path.parents else "results")
        assert outcome.code == 1, path
        assert path.name in outcome.out + outcome.err, path
        path.write_bytes(before)


def test_what_can_be_had_again_is_made_or_fetched_again(home: Path) -> None:
    for name in ("weights", "prepare", "run"):
        done(name)
    (picture,) = home.glob(f"{RESULTS}/bicubic-*/images/face-1.png")
    network = home / "cache" / "net.pth"
    before = picture.read_bytes()
    flip(picture)
    flip(network)
    assert "face-1.png has changed." in command("verify", "results").out
    assert "net.pth" in command("weights", "verify").out
    assert "bicubic: 1 images restored" in done("run")
    done("weights")
    assert (picture.read_bytes(), network.read_bytes()) == (before, NETWORK)
    goes_on("evaluate", home)


def test_another_prior_under_the_same_name_makes_another_run(home: Path) -> None:
    for name in ("prepare", "train", "sweep"):
        done(name)
    there = set((home / RESULTS).glob("ilvr-*"))
    train = COMMANDS["train"].replace("--out prior", "--out other --seed 7")
    good(*train.split())
    shutil.copy(home / "other" / "prior-16.safetensors", home / "prior")
    outcome = command("verify", "results")
    assert outcome.code == 1
    assert "prior/prior-16.safetensors has changed since" in outcome.out
    done("sweep")
    assert len(set((home / RESULTS).glob("ilvr-*")) - there) == len(there) == 2


def test_a_picture_that_changes_while_it_is_in_use_is_refused(home: Path) -> None:
    done("prepare")
    testset = open_testset(home / SET)
    for part in ("lr", "hr"):
        flip(home / SET / part / "face-2.png")
        with pytest.raises(BenchError, match=r"face-2\.png has changed since it was written"):
            getattr(testset, part)("face-2")


# --- Clocks and signals ---------------------------------------------------------------------------


def test_a_clock_that_runs_backwards_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 2e9 - 3600 * next(hours))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    clock = SimpleNamespace(now=lambda zone: moment - timedelta(hours=next(hours)))
    monkeypatch.setattr(provenance, "datetime", clock)
    for name in COMMANDS:
        goes_on(name, home)
    assert "was done already" in done("run")


class Trigger:
    """Sends a signal to this process before a certain operation on files."""

    WRITING = os.O_WRONLY | os.O_RDWR

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self.left = 0
        sys.addaudithook(self._hear)

    def set(self, number: signal.Signals, operation: int) -> None:
        """Send it before this one of the operations to come."""
        self.number, self.left = number, operation

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.number is None or event not in ("open", "os.rename", "os.mkdir"):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & self.WRITING):
            return
        self.left -= 1
        if self.left < 0:
            number, self.number = self.number, None
            signal.raise_signal(number)


TRIGGER = Trigger()  # there is no way to take such a hook back


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_every_command_that_is_stopped_says_how_to_go_on(
    home: Path, number: signal.Signals, code: int
) -> None:
    for name in COMMANDS:
        for operation in (0, 2):
            TRIGGER.set(number, operation)
            outcome = run(name)
            assert outcome.code == code, (name, operation, outcome)
            assert outcome.err.splitlines()[-1] == (
                "Stopped. Finished work is kept; run the same command to resume."
            ), name
        goes_on(name, home)
