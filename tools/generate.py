"""Write docs/reference/commands.md: the help of every command, as plain text.

python -m tools.generate            write the file
python -m tools.generate --check    exit with code 1 if the file is out of date; write nothing
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from bench.cli import app

FILE = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"
WIDTH = 80

HEAD = """\
# Commands

The output of `--help` of every command, written by `python -m tools.generate`. A test compares it
with the code: change the code and run that command.
"""


def text() -> str:
    """Return the text of the file, which depends only on the code, not on terminal or locale."""
    root: Any = get_command(app)
    sections = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in helps(root, "bench", None)]
    return "\n".join([HEAD, *sections])


def helps(command: Any, name: str, parent: typer.Context | None) -> Iterator[tuple[str, str]]:
    """Yield path and help of a command and its subcommands, as declared.

    `command` is a command or group of typer, which have no public type in common.
    """
    # Without markup typer draws no boxes and ignores the width of the terminal.
    command.rich_markup_mode = None
    context = typer.Context(command, parent, name, terminal_width=WIDTH, color=False)
    lines = command.get_help(context).splitlines()
    yield context.command_path, "\n".join(line.rstrip() for line in lines)
    for child in getattr(command, "commands", {}).values():
        yield from helps(child, child.name, context)


def main(arguments: list[str]) -> int:
    """Write the file, or with --check only compare it; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tools.generate [--check]", file=sys.stderr)
        return 2
    if not arguments:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == text():
        return 0
    print(f"{FILE} is not what the code says: run `python -m tools.generate`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
