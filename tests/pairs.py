"""python -m tests.pairs [TIMES]: two of every command at once end as one of them alone.

Both of two must end well, or one of them in a sentence that says what stands in its way; and the
files are then, byte for byte, those of a single one.
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
    "new-method": "There is a method odd already",
}
"""What the second of two says of the first, where it has nothing to wait for."""


def pairs(folder: Path, times: int, say: Callable[[str], None]) -> list[str]:
    """Whatever went otherwise than with single commands, in workspaces below `folder`."""
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
    """Run two of a command; a line for whatever should not be."""
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
