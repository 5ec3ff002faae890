"""A small external program, in a repository of its own and installed as methods are."""

import subprocess
from pathlib import Path
from zipfile import ZipFile

from bench.methods.external.installation import Installation
from bench.methods.external.program import Program, read_program

WHEEL = "numpy-0.1-py3-none-any.whl"

NUMPY = """
__version__ = "0.1"

def repeat_pixels(row, times):
    pixels = [row[start : start + 3] for start in range(0, len(row), 3)]
    return [value for pixel in pixels for value in pixel * times]
"""

DESCRIPTION = """
title = "Enlarger"
licence = "none needed"
repository = "{repository}"
command = [
    "{{python}}", "enlarge.py", "--input", "{{input}}", "--output", "{{output}}",
    "--scale", "{{scale}}", "--brighter", "{{brighter}}", "--mischief", "{{mischief}}",
]
failure = "Failed inference"

[settings]
brighter = 0
mischief = "none"

[at.4]
brighter = 5

[environment]
install = [["--no-index", "./{wheel}"]]

[limits]
start = 20
image = 0
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder with a made-up identity."""
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


def program_repository(folder: Path) -> Path:
    """Commit the program and its NumPy to a new repository."""
    folder.mkdir(parents=True)
    source = Path(__file__).parent / "programs" / "enlarge.py"
    (folder / "enlarge.py").write_bytes(source.read_bytes())
    information = "numpy-0.1.dist-info"
    with ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("numpy/__init__.py", NUMPY)
        wheel.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n"
        )
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The program")
    return folder


def describe(folder: Path, repository: Path | str, more: str = "") -> Program:
    """Write enlarger.toml, beginning with `more`, into a folder of methods, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "enlarger.toml"
    file.write_text(more + DESCRIPTION.format(repository=repository, wheel=WHEEL))
    return read_program(file)


def install(program: Program) -> Installation:
    """Set the program up silently."""
    installation = Installation(program)
    installation.set_up(say=lambda line: None)
    return installation
