"""Run external commands in a clean environment, within limits, with their output logged."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError

KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "SSL_CERT_FILE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
"""Environment variables passed to a command, with those that begin with `KEPT_FAMILIES`."""

KEPT_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "PIP_")

LINES_SHOWN = 12

LOG = 2**26
"""Largest output of a command in bytes."""

LOOK = 0.1
"""Seconds between checks of what a command has written."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a command: seconds, GiB of memory per process, GiB in a folder."""

    seconds: float = float("inf")
    memory: float | None = None
    folder: Path | None = None
    written: float = float("inf")


def run_command(
    command: Sequence[str],
    folder: Path,
    log: Path,
    variables: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
) -> None:
    """Run a command in a folder and write its output to `log`.

    When it ends, or bench is interrupted, all processes that it started are killed.

    Raises:
        BenchError: the command can't start, failed, or exceeded a limit of time or output; with the
            end of its output.
    """
    environment = clean_environment(os.environ) | dict(variables or {})
    bounds = bounds or Bounds()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group that can be killed as a whole
            )
        except OSError as error:
            raise BenchError(f"{command[0]} can't be started: {error.strerror}.") from None
        try:
            if bounds.memory is not None:
                _limit_memory(process.pid, bounds.memory)
            what = _watch(process, log, bounds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if what:
        raise BenchError(f"{Path(command[0]).name} {what}{_tail(log)}")


def _watch(process: subprocess.Popen[bytes], log: Path, bounds: Bounds) -> str:
    """Wait until a process ends or exceeds its limits; return the problem, if any."""
    end = time.monotonic() + bounds.seconds
    ended = False
    while not ended:
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(LOOK, max(0, end - time.monotonic())))
        ended = process.returncode is not None
        if log.stat().st_size > LOG:
            return f"printed more than {LOG // 2**20} MiB"
        if bounds.folder and _size(bounds.folder) > bounds.written * 2**30:
            return f"wrote more than {bounds.written:g} GiB of results"
        if not ended and time.monotonic() >= end:
            return f"did not end within {bounds.seconds:.0f} seconds"
    return f"failed with exit code {process.returncode}" if process.returncode else ""


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder, which may change meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total


def _limit_memory(process: int, memory: float) -> None:
    """Limit the memory of a process and its children.

    The parent sets the limit, because Python code between fork and exec is unsafe in a process with
    threads. The program can't use much memory before the limit takes effect.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = min(int(memory * 2**30), there)
    with suppress(ProcessLookupError):  # it has ended already
        resource.prlimit(process, resource.RLIMIT_DATA, (most, most))


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command, without bench's Python, settings or secrets."""
    kept = {k: v for k, v in variables.items() if k in KEPT or k.startswith(KEPT_FAMILIES)}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
    if not lines:
        return ", and printed nothing."
    return ". The end of its output:\n" + "\n".join(f"    {line[:300]}" for line in lines)
