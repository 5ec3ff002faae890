"""Write requirements.txt: packages of the default install, with the hash of every file.

python -m tools.requirements

Asks the package index through uv (`pip install uv`) and installs nothing. The versions are those of
constraints.txt; packages that only CUDA or Windows needs are not in it and are left out.
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
# Written by `python -m tools.requirements`.
#
#     pip install torch==2.13.0 torchvision==0.28.0
#     pip install --require-hashes --no-deps -r requirements.txt
#     pip install --no-deps .
#
# torch and torchvision are left out: under one version number each package index serves other
# builds, for the CPU or one for each CUDA. Take them from an index that you trust, with
# `--require-hashes` and the hashes that it states.
"""


def main() -> int:
    """Write the file; return the exit code."""
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
    """Yield the entries, with their hashes, of the packages in constraints.txt except torch."""
    known = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    for entry in re.split(r"^(?=\S)", compiled, flags=re.MULTILINE):
        name = next(iter(pins(entry)), None)
        if name in known and name not in BUILDS:
            yield entry


def pins(text: str) -> dict[str, str]:
    """Map the names to the versions in the lines NAME==VERSION of a requirements file."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
