"""python -m tests.pairs [TIMES]: run every command twice at once and compare with running it once.

Both must succeed, or one must fail with a sentence that names the conflict; the files must equal
those of a single command, byte by byte.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.copies import (
    COMMANDS,
    PATIENCE,
    contents,
    differences,
    leave_alone,
    new_workspace,
    said,
    server,
    start,
    stop_the_clock,
    wait,
)

SECOND = {
    "datasets": "choose another",
    "new-method": "already",  # "There is a method odd already", or its file "already exists"
}
"""The error of the second command, where waiting for the first makes no sense."""


def pairs(folder: Path, times: int, say: Callable[[str], None]) -> list[str]:
    """Return all differences from single commands, in workspaces below `folder`."""
    stop_the_clock()
    found: list[str] = []
    with server() as address:
        here = new_workspace(folder, address)
        for name in COMMANDS:
            leave_alone(here, name)
        expected = contents(here)
        for number in range(times):
            here = new_workspace(folder, address)
            for name in COMMANDS:
                found += _both(here, name)
            found += differences(expected, contents(here))
            say(f"{number + 1} times two of {', '.join(COMMANDS)}")
    return found


def _both(workspace: Path, name: str) -> list[str]:
    """Run a command twice at once; return a line for each fault."""
    two = [start(workspace, name), start(workspace, name)]
    ended = [wait(process, PATIENCE) for process in two]
    what = said(workspace, name)
    for process, status in zip(two, ended, strict=True):
        if status is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    refused = sum(status != 0 for status in ended)
    if not refused or (refused == 1 and name in SECOND and SECOND[name] in what):
        return []
    return [f"Two of {name} ended with {ended}: {what}"]


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = pairs(Path(folder), int(arguments[0]) if arguments else 1, print)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
