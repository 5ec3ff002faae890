"""The workspace that functions and commands work in."""

from pathlib import Path

from bench.core.config import Workspace, open_workspace
from bench.methods.catalogue import SHIPPED, look_in


def workspace(folder: Path | None = None) -> Workspace:
    """Open the workspace around a folder (default: the current one).

    Set the search path of methods to the shipped `baselines/` and this workspace's.

    Raises:
        BenchError: its bench.toml is wrong.
    """
    here = open_workspace(folder or Path.cwd())
    own = here.baselines.is_dir() and here.baselines.resolve() != SHIPPED.resolve()
    look_in([str(SHIPPED), *([str(here.baselines)] if own else [])])
    return here
