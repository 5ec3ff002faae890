"""What a case is, and the workspace that each of them spoils a copy of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.diffusion.unet import UNet
from bench.files import sha256_file, write_bytes
from bench.images import encode_png
from bench.weights import Card, write_checkpoint
from tests.command import good
from tests.small import TINY_PRIOR, photos, picture

CONFIGURATION = 'metrics = ["psnr"]\nmethods = ["bicubic"]\nsize = 16\nbatch = 2\n'

PREPARE = "prepare celeba --source photos --scale 4 --name new"
"""Of the folder that most cases of images and archives put something into."""

RESTORE = "run ddnm --set ddnm.steps=2 --prior"
"""With a checkpoint behind it."""

Arrange = Callable[[Path], object]


def as_it_is(home: Path) -> None:
    """Of a case that is wrong by its command line alone."""


@dataclass(frozen=True)
class Refused:
    """A command that must fail and leave everything as it was.

    `says` are parts of the sentence: what is wrong, and the way out. `code` is 1 for what lies on
    disk and 2 for what was typed on the command line or into bench.toml.
    """

    command: str
    says: tuple[str, ...]
    make: Arrange = as_it_is
    code: int = 1


@dataclass(frozen=True)
class Accepted:
    """A command that succeeds by a stated rule; `holds` asserts what came out of it."""

    command: str
    make: Arrange
    holds: Callable[[Path], object]


def workspace(home: Path) -> None:
    """Two photographs, a test set of them, two runs on it, pictures to import, and a checkpoint.

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
    """Everything below a folder: path -> kind, and what it holds or leads to."""
    found: dict[str, tuple[str, object]] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", path.readlink())
        elif path.is_dir():
            found[name] = ("folder", None)
        else:
            size = path.stat().st_size
            # Of the one large file, which is a hole, the size will do.
            found[name] = ("file", (size, sha256_file(path) if size < 2**20 else None))
    return found


def run_folder(home: Path, method: str = "bicubic") -> Path:
    """The folder of the only run of a method."""
    (folder,) = (home / "results" / "tiny").glob(f"{method}-*")
    return folder
