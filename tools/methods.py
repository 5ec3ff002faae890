"""Write docs/results/methods.md: all available methods, on the sample and on your faces.

python -m tools.methods --work DIR FACES...

FACES are folders of FFHQ-aligned faces. DIR keeps all results, so an interrupted command resumes.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.measuring import bench, gather_faces, network_hashes

FILE = Path(__file__).parents[1] / "docs" / "results" / "methods.md"
FACES = 100
SCALE = 8
PAPER_NOTE = """\
Printed are 1,000 faces of 256 px under another prior: the verdicts say so cell by cell, and nothing
here claims to reproduce one of the paper's values. What can be compared is how the methods stand
to each other. CS and ACC of the paper are by a network that is not here (`bench weights list`), so
that Table 3 has no value of ours."""


def main(arguments: Sequence[str]) -> None:
    """Run everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args(arguments)
    work: Path = given.work.absolute()
    gather_faces([path.absolute() for path in given.faces], work / "faces", FACES)
    shutil.copyfile(FILE.parents[2] / "bench.toml", work / "bench.toml")
    bench(work, "prepare", "sample", "--scale", str(SCALE))
    bench(work, "prepare", "celeba", "--source", "faces", "--scale", str(SCALE), "--name", "faces")
    tables = []
    for testset in (f"sample-64-x{SCALE}", "faces"):
        bench(work, "run", "--all", "--testset", testset)
        tables.append(bench(work, "report", "--testset", testset, "--costs", "--markdown"))
    tables += ["## Beside the paper's Tables 1 and 3", "", PAPER_NOTE, ""]
    for table in ("1", "3"):
        words = ("--table", table, "--testset", "faces", "--beside", "--markdown")
        tables.append(bench(work, "report", *words))
    methods = json.loads(bench(work, "methods", "--testset", "faces", "--json"))["methods"]
    runs = sorted((work / "results" / "faces").glob("*/run.json"))
    specs = [json.loads(path.read_text(encoding="utf-8"))["spec"] for path in runs]
    folders = " and ".join(path.name for path in given.faces)
    lines = [
        *head(folders),
        *tables,
        *settings_table(specs),
        *absent_methods(methods),
    ]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def head(folders: str) -> list[str]:
    """Return the head of the file: what it shows, and the networks with their hashes."""
    return [
        "# Every method that runs with the embedded networks",
        "",
        (
            f"Written by `python -m tools.methods` on {datetime.now(UTC).date()}. The first table "
            f"is of the sample that ships, the second of the first {FACES} faces of {folders}, on "
            "which no network was trained. Both were made by `bench run --all`. The prior has 4 "
            "million parameters and 64 px, and methods that take another prior, restorer or "
            "operator in their papers have this one here: the order of the rows says nothing about "
            "what the papers report. Times are of a machine that had other work, too."
        ),
        "",
        *network_hashes(),
        "",
    ]


def settings_table(specs: Sequence[Any]) -> list[str]:
    """Return a table of the settings with which each method ran."""
    rows = [
        f"| {spec['method']} | {', '.join(f'{k} = {v}' for k, v in _plain(spec['settings']))} |"
        for spec in specs
    ]
    return ["## Settings", "", "| method | settings |", "| --- | --- |", *rows, ""]


def _plain(settings: Any) -> list[tuple[str, Any]]:
    """Return settings by name; a nested method becomes its name."""
    return [(k, v["method"] if isinstance(v, dict) else v) for k, v in settings.items()]


def absent_methods(methods: Sequence[Any]) -> list[str]:
    """Return a table of the methods that did not run, with the reasons."""
    rows = [f"| {m['name']} | {m['reason']} |" for m in methods if not m["runs"]]
    return ["## Not here", "", "| method | why |", "| --- | --- |", *rows]


if __name__ == "__main__":
    main(sys.argv[1:])
