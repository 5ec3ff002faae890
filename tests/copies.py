"""Commands in forks of a process that has imported everything, in comparable workspaces.

A fork saves the start of Python. The clock stands still, so that all files can be compared: seconds
per image and peak memory are zero, runs begin at one moment, and a resume is recorded without its
time. Two kinds of files are not compared as bytes: TensorBoard's log is left out, because its files
are named by time and process; of a training state the values are compared, in order and bit by bit.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.cli import app
from tests.registered import table
from tests.serving import Handler, site
from tests.small import TINY_PRIOR, photos

COMMANDS = {
    "weights": "weights get net",
    "prepare": "prepare celeba --source photos --scale 4 8",
    "train": "train prior --size 16 --data photos --out prior --steps 3 --batch 2 --every 1",
    "run": "run bicubic ilvr --testset celeba-16-x4 --prior prior/prior-16.safetensors "
    "--set ilvr.steps=3 --set ilvr.range_t=1",
    "evaluate": "evaluate --testset celeba-16-x4 --protocol both",
    "report": "report --testset celeba-16-x4 --html page",
    "sweep": "sweep ilvr --steps 3 --set ilvr.range_t=1 --testset celeba-16-x4 "
    "--prior prior/prior-16.safetensors",
    "import": "import mine testsets/celeba-16-x4/hr --testset celeba-16-x4",
    "figure": "figure grid bicubic --testset celeba-16-x4 --out faces.png",
    "export": "export bicubic --testset celeba-16-x4 --out bicubic.tar",
    "sheet": "sheet sheet.png --testset celeba-16-x4",
    "datasets": "datasets add odd photos",
    "new-method": "new-method odd",
    "verify": "verify results",
    "plan": "plan bicubic --testset celeba-16-x4",
}
"""In an order in which each finds what it needs."""

CONFIG = 'size = 16\nbatch = 1\nmetrics = ["psnr", "ssim"]\n'
IMAGES = 6
NETWORK = random.Random(0).randbytes(2_000_000)
PATIENCE = 120
"""Seconds after which a command hangs."""
FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
"""Audit events of the interpreter, raised before the operation."""


def contents(workspace: Path) -> dict[str, bytes]:
    """Map the paths below a workspace to their bytes, except files that differ for a reason."""
    files = (path for path in sorted(workspace.rglob("*")) if path.is_file())
    named = ((path.relative_to(workspace).as_posix(), path) for path in files)
    return {
        name: _plain(path) if path.suffix == ".pt" else path.read_bytes()
        for name, path in named
        if not name.startswith(("prior/log/", "said-"))
    }


def _plain(checkpoint: Path) -> bytes:
    """Return the values of a training state; its pickled bytes depend on object identity."""
    import torch

    def walk(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), value.shape, value.numpy().tobytes()
        if isinstance(value, Mapping):
            return [(key, walk(item)) for key, item in value.items()]
        return [walk(item) for item in value] if isinstance(value, list | tuple) else value

    return repr(walk(torch.load(checkpoint, weights_only=True))).encode()


def differences(expected: Mapping[str, bytes], there: Mapping[str, bytes]) -> list[str]:
    """Return a line for each file that is missing, unexpected or different."""
    lines = [f"{name} is missing." for name in expected.keys() - there.keys()]
    lines += [f"{name} is left behind." for name in there.keys() - expected.keys()]
    both = expected.keys() & there.keys()
    return lines + [f"{name} differs." for name in sorted(both) if expected[name] != there[name]]


def new_workspace(root: Path, address: str) -> Path:
    """Make a new workspace, always at the same path, since runs record that of their weights."""
    folder = root / "here"
    shutil.rmtree(folder, ignore_errors=True)
    photos(folder / "photos", IMAGES)
    (folder / "bench.toml").write_text(CONFIG)
    digest = hashlib.sha256(NETWORK).hexdigest()
    (folder / "records.toml").write_text(table("net", sources=[f"{address}/net"], sha256=digest))
    return folder


def leave_alone(workspace: Path, name: str, counted: Path | None = None) -> None:
    """Run a command to its end; it must succeed."""
    process = start(workspace, name, count=counted)
    status = wait(process, PATIENCE)
    if status is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert status == 0, f"{name} ended with {status}: {said(workspace, name)}"


def wait(process: int, seconds: float) -> int | None:
    """Return the status of a process, or None if it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def start(workspace: Path, name: str, last: int | None = None, count: Path | None = None) -> int:
    """Fork a process that runs a command, and kills itself before file operation `last`."""
    process = os.fork()
    if process:
        return process
    try:
        os.chdir(workspace)
        out = os.open(f"said-{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ |= {"BENCH_CACHE": str(workspace / "cache"), "no_proxy": "127.0.0.1"}
        from bench.networks.registry import records

        records._FILE = workspace / "records.toml"
        operations = _Operations(last)
        sys.addaudithook(operations)
        code = app(COMMANDS[name].split(), prog_name="bench", standalone_mode=False) or 0
        if count:
            count.write_text(str(operations.done))
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the fork must not continue the tests
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(code)


class _Operations:
    """Count file operations in the workspace, and kill this process before one of them."""

    def __init__(self, last: int | None) -> None:
        self.done, self._last, self._here = 0, last, str(Path.cwd())

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILES or not isinstance(arguments[0], str | Path):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if not os.path.abspath(arguments[0]).startswith(self._here):  # noqa: PTH100 - follow no link
            return
        if self.done == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.done += 1


def said(workspace: Path, name: str) -> str:
    return (workspace / f"said-{name}").read_text()[-2000:]


def complaints(workspace: Path) -> list[str]:
    """Return the messages that no command may print while no other runs."""
    return [
        f"{path.name}: {line}"
        for path in sorted(workspace.glob("said-*"))
        for line in path.read_text().splitlines()
        if "waiting until" in line or line.startswith(("error:", "Traceback"))
    ]


@contextmanager
def server() -> Iterator[str]:
    """Yield the address of a slow web server in a process of its own."""
    reading, writing = os.pipe()
    over, alive = os.pipe()
    process = os.fork()
    if not process:
        os.close(alive)
        with site() as made:
            made.serve("/net", _slowly)
            os.write(writing, made.address.encode())
            os.read(over, 1)  # until all writers are gone
            os._exit(0)
    yield os.read(reading, 100).decode()
    os.close(alive)
    os.waitpid(process, 0)


def _slowly(handler: Handler) -> None:
    start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
    headers: dict[str, object] = {"ETag": '"1"', "Content-Length": len(NETWORK) - start}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(NETWORK) - 1}/{len(NETWORK)}"
    handler.say(206 if start else 200, headers)
    for at in range(start, len(NETWORK), 100_000):
        handler.wfile.write(NETWORK[at : at + 100_000])
        time.sleep(0.01)


def stop_the_clock() -> None:
    """Import what the commands need, freeze the times that they write, and shrink networks."""
    import accelerate  # noqa: F401
    import jinja2  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    from torch.utils import tensorboard  # noqa: F401

    import bench.engine.availability
    import bench.engine.import_results
    import bench.engine.run
    import bench.metrics
    import bench.metrics.recognition
    import bench.metrics.scoring.evaluate
    import bench.report.page
    import bench.testsets.prepare
    import bench.training.tasks
    from bench.engine import provenance
    from bench.store.run import Run
    from bench.training import architectures

    torch.set_num_threads(1)
    architectures.PRIOR_64, bench.training.tasks.PREVIEW_STEPS = TINY_PRIOR, 2
    moment = SimpleNamespace(now=lambda zone: datetime(2026, 1, 1, tzinfo=zone))
    vars(provenance).update(datetime=moment, _commit=dict)
    vars(bench.engine.import_results).update(datetime=moment)
    write, finish = Run.write, Run.finish
    for name, stopped in {
        "write": lambda run, pictures, _, evaluations: write(run, pictures, 0.0, evaluations),
        "finish": lambda run, images, _: finish(run, images, {}),
        "note_resume": lambda run, _: run._describe({}),
    }.items():
        setattr(Run, name, stopped)
