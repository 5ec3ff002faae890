"""Command that creates a workspace: init."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.shared import flag, say
from bench.core.errors import WrongUsage

if TYPE_CHECKING:
    from bench.core.presets import Preset


def init(
    folder: Annotated[Path, typer.Argument(help="Folder (default: the current one).")] = Path(),
    embedded: Annotated[
        bool, flag("--embedded", "64 px, for the embedded networks (default).")
    ] = False,
    paper: Annotated[
        bool, flag("--paper", "256 px and published settings, as in Tables 1, 3 and 4.")
    ] = False,
    blind: Annotated[bool, flag("--blind", "Real-world images at 256 px, as in Table 2.")] = False,
) -> None:
    """Create a workspace with a commented bench.toml.

    It also gets folders for your own methods and datasets.
    """
    from bench.core.presets import init_workspace

    flags: dict[Preset, bool] = {"embedded": embedded, "paper": paper, "blind": blind}
    chosen = [name for name, wanted in flags.items() if wanted]
    if len(chosen) > 1:
        raise WrongUsage(f"--{chosen[0]} and --{chosen[1]} exclude each other: choose one.")
    file = init_workspace(folder, chosen[0] if chosen else "embedded")
    say(f"Wrote {file}: `bench prepare sample --scale 8` makes a first test set.")
