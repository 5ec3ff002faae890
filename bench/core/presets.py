"""Presets of bench.toml: embedded networks, the paper, blind restoration."""

from pathlib import Path
from typing import Literal

from bench.core.config import FILE_NAME, Config, read_config
from bench.core.errors import WrongUsage
from bench.core.files import write_bytes

Preset = Literal["embedded", "paper", "blind"]

_FOLDER = Path(__file__).parents[1] / "presets"

_STUBS = {
    "baselines": "Methods of your own, one file each: `bench new-method my-method` writes one.\n",
    "datasets": "Datasets of your own, one TOML file each: `bench datasets add NAME FOLDER` "
    "writes one.\n",
}
"""Folder -> text of its README."""


def preset_config(name: Preset) -> Config:
    """Return the configuration of this name."""
    return read_config(_FOLDER / f"{name}.toml")


def init_workspace(folder: Path, name: Preset) -> Path:
    """Write bench.toml and folders for the user's methods and datasets; return the file.

    Raises:
        WrongUsage: the folder has a bench.toml.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise WrongUsage(f"{file} already exists: remove it, or choose another folder.")
    for stub, text in _STUBS.items():
        readme = folder / stub / "README.md"
        if not readme.exists():
            write_bytes(readme, text.encode())
    write_bytes(file, (_FOLDER / f"{name}.toml").read_bytes())
    return file
