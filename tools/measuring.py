"""Helpers of the commands that write measured pages: faces, a workspace, hashes of networks."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.core.files import sha256_file
from bench.core.paths import checkpoints


def gather_faces(folders: Sequence[Path], into: Path, count: int) -> None:
    """Copy the first `count` faces, the same number from each folder, interleaved by name."""
    share = count // len(folders)
    for folder in folders:
        paths = sorted(p for p in folder.iterdir() if p.suffix in {".jpg", ".png"})
        for number, path in enumerate(paths[:share]):
            target = into / f"{number:03d}-{folder.name}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def bench(work: Path, *words: str) -> str:
    """Run a bench command in a workspace and return its output."""
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=work, check=True, stdout=subprocess.PIPE, text=True).stdout


def network_hashes() -> list[str]:
    """Return the embedded networks with their hashes, as lines of Markdown."""
    paths = sorted(checkpoints().glob("*.safetensors"))
    rows = [f"| `{path.stem}` | `{sha256_file(path)[:16]}` |" for path in paths]
    return ["| network | sha256 |", "| --- | --- |", *rows]


def without_precision(text: str) -> str:
    """Drop what all rows of a page share: that networks ran in bfloat16."""
    return text.replace(", precision bfloat16", "").replace(" (precision bfloat16)", "")
