"""Commands of others: in a clean environment, with a time limit, their output kept."""

import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.errors import BenchError

KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "SSL_CERT_FILE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
"""Variables of ours that a command sees, and those that begin with one of `KEPT_FAMILIES`."""

KEPT_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "PIP_")

LINES_SHOWN = 12


def run(
    command: Sequence[str],
    folder: Path,
    log: Path,
    limit: float | None = None,
    variables: Mapping[str, str] | None = None,
    memory: float | None = None,
) -> None:
    """Run a command in a folder; all that it prints goes to `log`.

    Nothing that it started outlives it, nor an interruption of ours. No process of it may fill
    more than `memory` GiB.

    Raises:
        BenchError: it can't be started, failed, or took longer than `limit` seconds; with the end
            of what it printed.
    """
    environment = clean_environment(os.environ) | dict(variables or {})
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, which can be ended as a whole
            )
        except OSError as error:
            raise BenchError(f"{command[0]} can't be started: {error.strerror}.") from None
        try:
            if memory is not None:
                _limit_memory(process.pid, memory)
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            what = f"did not end within {limit:.0f} seconds"
        else:
            what = f"failed with exit code {code}" if code else ""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if what:
        raise BenchError(f"{Path(command[0]).name} {what}{_tail(log)}")


def _limit_memory(process: int, memory: float) -> None:
    """For a process that has just begun, and all that it will start; the kernel refuses more.

    Set from here, and not in the child before it becomes the program, where Python can't run
    safely beside threads. Nothing can be filled in the instant between.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = min(int(memory * 2**30), there)
    with suppress(ProcessLookupError):  # it is done already
        resource.prlimit(process, resource.RLIMIT_DATA, (most, most))


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a command sees of our variables: nothing of our Python, our settings, or secrets."""
    kept = {k: v for k, v in variables.items() if k in KEPT or k.startswith(KEPT_FAMILIES)}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
    if not lines:
        return ", and printed nothing."
    return ". The end of what it printed:\n" + "\n".join(f"    {line[:300]}" for line in lines)
