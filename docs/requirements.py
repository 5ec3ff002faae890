"""Write requirements.txt: the hash of every file that a package of the default install may come as.

python -m docs.requirements

Asks the package index, by way of uv (`pip install uv`); installs nothing. The versions are those of
constraints.txt, and a package that is not in there is left out: what CUDA and Windows would bring.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "requirements.txt"
BUILDS = ("torch", "torchvision")

HEAD = """\
# What `pip install .` brings beside torch and torchvision, with the hashes of all files of each.
# Written by `python -m docs.requirements`.
#
#     pip install torch==2.13.0 torchvision==0.28.0
#     pip install --require-hashes --no-deps -r requirements.txt
#     pip install --no-deps .
#
# torch and torchvision stand apart, for they come as other files from each package index: one for
# CPUs, one for each CUDA, under one version. Take them from an index that you trust, with
# `--require-hashes` and the hashes that it states.
"""


def main() -> int:
    """Write the file; returns the exit code."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--constraint", "constraints.txt"]
    command += ["--generate-hashes", "--universal", "--no-annotate", "--no-header", "--quiet"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        print("uv is not installed: run `pip install uv`.", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"uv failed: {error.stderr}", file=sys.stderr)
        return 1
    FILE.write_text(HEAD + "".join(chosen(done.stdout)), encoding="utf-8")
    return 0


def chosen(compiled: str) -> Iterator[str]:
    """The entries that constraints.txt names, but for torch, each with the lines of its hashes."""
    known = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    for entry in re.split(r"^(?=\S)", compiled, flags=re.MULTILINE):
        name = next(iter(pins(entry)), None)
        if name in known and name not in BUILDS:
            yield entry


def pins(text: str) -> dict[str, str]:
    """Name -> version of the lines NAME==VERSION of a file of requirements."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
