"""python -m tests.storm [KILLS [SEED]]: kill commands at random and compare with undisturbed ones.

The first kill of a command comes just before a random file operation, a moment that a clock seldom
hits; later ones mostly come at a random time. A killed command is started again, may be killed
again, and in the end is left alone. All files must then equal those of undisturbed commands, byte
by byte.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.copies import (
    PATIENCE,
    complaints,
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

KILLED = ("weights", "prepare", "train", "run", "evaluate", "report")
IN_A_ROW = 3
"""Number of kills of a command before it is left alone."""


@dataclass
class Storm:
    """The outcome: kills of each command, and differences from undisturbed ones."""

    kills: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


def storm(folder: Path, kills: int, seed: int, say: Callable[[str], None]) -> Storm:
    """Kill commands in workspaces below `folder` and compare with an undisturbed one."""
    chance, result = random.Random(seed), Storm()
    stop_the_clock()
    with server() as address:
        here = new_workspace(folder, address)
        takes = {name: _timed(here, name) for name in KILLED}
        expected = contents(here)
        while result.kills.total() < kills and not result.found:
            here = new_workspace(folder, address)
            for name in KILLED:
                for number in range(min(IN_A_ROW, kills // len(KILLED))):
                    at_operation = number == 0 or chance.random() < 0.3
                    if result.kills.total() == kills or not _killed(
                        here, name, chance, *takes[name], at_operation
                    ):
                        break
                    result.kills[name] += 1
                leave_alone(here, name)
            result.found += differences(expected, contents(here))
            result.found += complaints(here)
            say(f"{result.kills.total()} kills: {dict(result.kills)}")
    return result


def _timed(workspace: Path, name: str) -> tuple[float, int]:
    """Return the seconds that a command takes and the number of its file operations."""
    begun = time.monotonic()
    counted = workspace / "said-operations"
    leave_alone(workspace, name, counted)
    return time.monotonic() - begun, int(counted.read_text())


def _killed(
    workspace: Path,
    name: str,
    chance: random.Random,
    seconds: float,
    operations: int,
    at_operation: bool,
) -> bool:
    """Start a command and kill it; return False if it finished first."""
    if at_operation:
        process = start(workspace, name, last=chance.randrange(operations))
        status = wait(process, PATIENCE)
    else:
        process = start(workspace, name)
        status = wait(process, chance.uniform(0, seconds))
    if status is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return True
    if os.WIFSIGNALED(status):
        return True
    assert status == 0, f"{name} ended with {status}: {said(workspace, name)}"
    return False


def main(arguments: Sequence[str]) -> int:
    kills, seed = (int(a) for a in (*arguments, *("200", "0")[len(arguments) :]))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        result = storm(Path(folder), kills, seed, print)
    print(f"{result.kills.total()} kills in {time.monotonic() - begun:.0f} s, seed {seed}.")
    for line in result.found:
        print(line)
    return 1 if result.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
