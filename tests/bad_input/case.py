"""The types of a case, and the workspace whose copy each case spoils."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.core.files import sha256_file, write_bytes
from bench.diffusion.unet import UNet
from bench.images import encode_png
from bench.networks.checkpoints import Card, write_checkpoint
from tests.command import good
from tests.small import TINY_PRIOR, photos, picture

CONFIGURATION = 'metrics = ["psnr"]\nmethods = ["bicubic"]\nsize = 16\nbatch = 2\n'

PREPARE = "prepare celeba --source photos --scale 4 --name new"
"""Prepares the folder into which most cases of images and archives put a file."""

RESTORE = "run ddnm --set ddnm.steps=2 --prior"
"""Wants the path of a checkpoint at its end."""

Arrange = Callable[[Path], object]


def as_it_is(home: Path) -> None:
    """Change nothing, where the command line alone is wrong."""


@dataclass(frozen=True)
class Refused:
    """A command that must fail and leave everything as it was.

    `says` are parts of the sentence: what is wrong and what to do. `code` is 1 for files on disk
    and 2 for the command line or bench.toml.
    """

    command: str
    says: tuple[str, ...]
    make: Arrange = as_it_is
    code: int = 1


@dataclass(frozen=True)
class Accepted:
    """A command that succeeds by a documented rule; `holds` checks its result."""

    command: str
    make: Arrange
    holds: Callable[[Path], object]


def workspace(home: Path) -> None:
    """Make two photographs, a test set, two runs, images to import, and a checkpoint.

    The current folder is `home`.
    """
    (home / "bench.toml").write_text(CONFIGURATION)
    photos(home / "photos", 2)
    good("prepare", "celeba", "--source", "photos", "--scale", 4, "--name", "tiny")
    for name, seed in (("face-0", 0), ("face-1", 1)):
        write_bytes(home / "made" / f"{name}.png", encode_png(picture(seed)))
    good("import", "mine", "made")
    good("run")
    write_checkpoint(home / "prior.safetensors", UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))


def contents(folder: Path) -> dict[str, tuple[str, object]]:
    """Map every path below a folder to its kind and its contents."""
    found: dict[str, tuple[str, object]] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", path.readlink())
        elif path.is_dir():
            found[name] = ("folder", None)
        else:
            size = path.stat().st_size
            # The one large file is sparse: its size is enough.
            found[name] = ("file", (size, sha256_file(path) if size < 2**20 else None))
    return found


def run_folder(home: Path, method: str = "bicubic") -> Path:
    """Return the folder of the only run of a method."""
    (folder,) = (home / "results" / "tiny").glob(f"{method}-*")
    return folder
