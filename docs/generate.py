"""Write docs/cli.md: the help of every command, as plain text.

python -m docs.generate            writes the file
python -m docs.generate --check    changes nothing, and exits with 1 where the file is old
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from bench.cli import app

FILE = Path(__file__).with_name("cli.md")
WIDTH = 80

HEAD = """\
# Commands

What `--help` says of every command. Written by `python -m docs.generate`; a test compares it with
the code, so change the code and run that.
"""


def text() -> str:
    """The whole file; it depends on the code alone, on no terminal, locale or variable."""
    root: Any = get_command(app)
    sections = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in helps(root, "bench", None)]
    return "\n".join([HEAD, *sections])


def helps(command: Any, name: str, parent: typer.Context | None) -> Iterator[tuple[str, str]]:
    """Path and help of a command and of all below it, in the order in which they are declared.

    `command` is any of typer's; it has no public name for what groups and commands share.
    """
    # Without markup typer draws no boxes and asks no terminal how wide it is.
    command.rich_markup_mode = None
    context = typer.Context(command, parent, name, terminal_width=WIDTH, color=False)
    lines = command.get_help(context).splitlines()
    yield context.command_path, "\n".join(line.rstrip() for line in lines)
    for child in getattr(command, "commands", {}).values():
        yield from helps(child, child.name, context)


def main(arguments: list[str]) -> int:
    """Write the file, or with --check only compare; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m docs.generate [--check]", file=sys.stderr)
        return 2
    if not arguments:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == text():
        return 0
    print(f"{FILE} is not what the code says: run `python -m docs.generate`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
