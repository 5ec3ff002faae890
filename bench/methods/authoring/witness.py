"""Detect side effects of a call: random states, settings, files."""

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.paths import cache_folder

CHANGES_FILES = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
)

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

STATES: dict[str, Callable[[], Any]] = {
    "the random state of Python": random.getstate,
    "the random state of NumPy": lambda: repr(np.random.get_state(legacy=False)),  # noqa: NPY002
    "the random state of torch": lambda: torch.get_rng_state().tolist(),
    "torch's default type": torch.get_default_dtype,
    "whether torch records gradients": torch.is_grad_enabled,
    "torch's number of threads": torch.get_num_threads,
    "whether torch is deterministic": torch.are_deterministic_algorithms_enabled,
    "the current folder": Path.cwd,
    "the environment's variables": lambda: dict(os.environ),
}


@contextmanager
def witness(findings: list[str], seed: int) -> Iterator[None]:
    """Run a block in an empty folder, with all global random states set to `seed`.

    Append each forbidden change to `findings` once. Files are allowed in bench's cache, and in the
    temporary folder if they are gone at the end. Writes that bypass Python are detected in the
    current and the temporary folder only.
    """
    changed: list[str] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name).resolve()
        here, temporary = folder / "here", folder / "temporary"
        here.mkdir()
        temporary.mkdir()
        stack.enter_context(chdir(here))
        stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(temporary)
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002 - it is looked at
        stack.enter_context(torch.random.fork_rng())
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = {what: state() for what, state in STATES.items()}
        with _listening(changed):
            yield
        found = [f"It changes {what}." for what, state in STATES.items() if state() != before[what]]
        allowed = (temporary, cache_folder().resolve(), Path("/dev"))
        written = [Path(os.path.realpath(path)) for path in changed]  # absent paths too
        written += [*here.rglob("*"), *temporary.rglob("*")]
        found += [
            f"It writes files: {path.name}."
            for path in written
            if "__pycache__" not in path.parts
            and (path.exists() or not path.is_relative_to(temporary))
            and not any(path.is_relative_to(a) for a in allowed if a != temporary)
        ]
    findings += [sentence for sentence in dict.fromkeys(found) if sentence not in findings]


_listeners: list[list[str]] = []
"""Receiver of written paths; an audit hook cannot be removed."""


@cache
def _listen() -> None:
    sys.addaudithook(_hear)


@contextmanager
def _listening(changed: list[str]) -> Iterator[None]:
    _listen()
    _listeners.append(changed)
    try:
        yield
    finally:
        _listeners.remove(changed)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listeners:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if (writes or event in CHANGES_FILES) and isinstance(arguments[0], str | bytes | os.PathLike):
        opened = Path(f"/proc/self/fd/{arguments[-1]}")
        folder = opened.readlink() if _by_folder(event, arguments) else Path()
        _listeners[-1].append(str(folder / os.fsdecode(arguments[0])))


def _by_folder(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return True if the path is relative to an open folder, as in removing trees."""
    return event in {"os.mkdir", "os.remove", "os.rmdir"} and arguments[-1] != -1
