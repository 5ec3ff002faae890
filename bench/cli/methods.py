"""The commands about methods: what there is, what runs here, and adding to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.shared import TestsetOption, open_testset_named, size_and_scale, workspace
from bench.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.config import Workspace

NewName = Annotated[str, typer.Argument(help="Its name: small letters, digits, hyphens.")]


def methods(
    on: TestsetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the methods: type, needs, licence, paper, and whether they run here and now."""
    here = workspace()
    size, scale = size_and_scale(here, on)
    rows = [*_methods(here, size, scale), *_imports(here)]
    if as_json:
        facts = {"size": size, "scale": scale, "methods": rows}
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(rows, size, scale)


def _methods(here: Workspace, size: int, scale: int) -> list[dict[str, Any]]:
    """Facts about every method, for a test set of this size and scale."""
    from bench.engine.run import require
    from bench.method import find_method, method_names

    rows = []
    for name in method_names():
        row: dict[str, Any] = {"name": name, "runs": False}
        rows.append(row)
        try:
            method = find_method(name)
            row |= {
                "title": method.title,
                "type": method.kind,
                "needs": ["its program"] if method.fingerprint else sorted(method.needs),
                "licence": method.licence,
                "paper": method.paper,
            }
            require(method, size, scale, here.config.weights)
            row |= {"runs": True, "reason": ""}
        except BenchError as error:
            row["reason"] = str(error)
        except Exception as error:  # noqa: BLE001 - a file that is wrong must not hide the others
            row["reason"] = f"its file is wrong: {type(error).__name__}: {error}."
    return rows


def _imports(here: Workspace) -> list[dict[str, Any]]:
    """The names under which results were imported: there is nothing to run."""
    from bench.engine.imported import imported_names

    reason = "its results were imported, `bench report` has them."
    return [
        {"name": name, "type": "imported", "runs": False, "reason": reason}
        for name in imported_names(here.results)
    ]


def _print(rows: list[dict[str, Any]], size: int, scale: int) -> None:
    """The table, and beneath it what does not fit into columns."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"Methods, and whether they run here at {size} px, x{scale}"
    for heading in ("Method", "Type", "Needs", "Licence", "Runs"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"Method", "Type", "Runs"})
    for row in rows:
        facts = (row.get("type", ""), ", ".join(row.get("needs", [])), row.get("licence", ""))
        table.add_row(
            row["name"], *(escape(fact or "-") for fact in facts), "yes" if row["runs"] else "no"
        )
    console.print(table)
    for heading, key in (("What does not run, and why", "reason"), ("Papers", "paper")):
        texts = {row["name"]: row[key] for row in rows if row.get(key)}
        if texts:
            console.print(f"\n{heading}", style="bold")
            _print_texts(console, texts)


def _print_texts(console: Console, texts: dict[str, str]) -> None:
    """Texts by name; in a pipe a text stays one line, so that it can be searched for."""
    from rich.markup import escape
    from rich.table import Table

    if not console.is_terminal:
        for name, text in texts.items():
            typer.echo(f"  {name}: {' '.join(text.split())}")
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, text in texts.items():
        grid.add_row(f"  {name}", escape(text))
    console.print(grid)


def new_method(name: NewName) -> None:
    """Write the file of a new method, which runs at once, into the workspace's baselines/."""
    from bench.authoring.template import new_method as write

    file = write(name, workspace().baselines)
    typer.echo(f"Wrote {file}")
    typer.echo(f"`bench run {name}` runs it, `bench check-method {name}` puts it to the test.")


def check_method(
    name: Annotated[str, typer.Argument(help="A method's name.")],
    scale: Annotated[int, typer.Option(help="Scale to try it at.", min=1)] = 4,
) -> None:
    """Put a method to the test that every method passes, on small pictures."""
    from bench.authoring.conformance import check_method as check
    from bench.method import find_method

    workspace()
    if broken := check(find_method(name), scale):
        for sentence in broken:
            typer.echo(sentence)
        raise BenchError(f"{name} breaks {len(broken)} of the promises of a method.")
    typer.echo(f"{name} keeps all promises of a method.")


def import_results(
    name: NewName,
    folder: Annotated[Path, typer.Argument(help="Folder of results, named as the images are.")],
    on: TestsetOption = None,
    title: Annotated[str | None, typer.Option(help="What tables call it; else its name.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Some may be missing.")] = False,
) -> None:
    """Import results that were made elsewhere, as a run; all of them or none."""
    from bench.engine.imported import import_pictures

    here = workspace()
    testset = open_testset_named(here, on)
    done = import_pictures(name, title or name, folder, testset, here.results, partial=partial)
    there = len(done.run.records())
    what = f"{done.restored} images imported" if done.restored else "was imported already"
    typer.echo(f"{name}: {what}, {there} of {len(testset.entries)} are there, in {done.run.folder}")
    typer.echo("`bench evaluate` scores them, `bench report` prints the table.")


def external_setup(
    name: Annotated[str, typer.Argument(help="A method whose file in baselines/ is a .toml.")],
) -> None:
    """Clone a program at its commit and install it into an environment of its own."""
    from bench.external.installation import Installation
    from bench.method import find_program

    workspace()
    installation = Installation(find_program(name))
    installation.set_up(say=typer.echo)
    try:
        installation.fingerprint()
    except BenchError as error:  # the weights, which are not fetched
        typer.echo(str(error))
    else:
        typer.echo(f"{name} is ready, in {installation.folder}")
