"""Write docs/results/methods.md: all available methods at x4, x8 and x16, their cost, and NFE.

python -m tools.methods --work DIR FACES...

FACES are folders of FFHQ-aligned faces that no embedded network was trained on. DIR keeps all
results, so an interrupted command resumes. Run it on an idle machine, or the times are too long.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.measuring import bench, gather_faces, network_hashes, without_precision

DOCS = Path(__file__).parents[1] / "docs"
FACES = 100
SCALES = (4, 8, 16)
TIMED = 8
"""Faces of the timing: one batch."""
CURVE_FACES = 24
CURVES = {
    "ilvr": ("steps", (20, 50, 100)),
    "ddnm": ("steps", (10, 20, 50, 100)),
    "ddrm": ("steps", (10, 20, 50, 100)),
    "dpi": ("steps", (10, 20, 50, 100)),
    "dps": ("steps", (20, 50, 100)),
    "pigdm": ("steps", (10, 20, 50, 100)),
    "reddiff": ("steps", (10, 20, 50, 100)),
    "diffpir": ("steps", (10, 20, 50, 100)),
    "daps": ("annealing_steps", (10, 25, 50)),
}
"""Method -> the setting that its NFE follows from, and the values of the figure."""
PRECISION = ("--precision", "bfloat16")
FIGURE = "images/quality-nfe.png"
PAPER_NOTE = """\
The paper's values are for 1,000 faces at 256 px with another prior. The verdict of each cell says
so, and nothing here claims to reproduce a value of the paper. Only the methods' relative standing
can be compared. The paper's CS and ACC use VGG-Face, which is missing (`bench weights list`)."""


def main(arguments: Sequence[str]) -> None:
    """Run everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args(arguments)
    work: Path = given.work.absolute()
    folders = [path.absolute() for path in given.faces]
    for folder, count in (("faces", FACES), ("timed", TIMED), ("curve", CURVE_FACES)):
        gather_faces(folders, work / folder, count)
    shutil.copyfile(DOCS.parent / "bench.toml", work / "bench.toml")
    costs = measure_costs(work)
    tables = [line for scale in SCALES for line in quality(work, scale)]
    draw_curves(work)
    lines = [
        *head(" and ".join(path.name for path in folders)),
        *tables,
        *costs,
        *curves(),
        *published(work),
        *settings_table(work),
        *absent_methods(work),
    ]
    (DOCS / "results" / "methods.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare(work: Path, folder: str, scale: int, name: str) -> None:
    """Build a test set of a folder's faces."""
    words = ("--source", folder, "--scale", str(scale), "--name", name)
    bench(work, "prepare", "celeba", *words)


def measure_costs(work: Path) -> list[str]:
    """Return a table: NFE and seconds per image of every method on one batch at x8."""
    prepare(work, "timed", 8, "timed")
    bench(work, "run", "--all", "--testset", "timed", *PRECISION)
    words = ("--testset", "timed", "--costs", "--metric", "psnr", "--json")
    table = json.loads(bench(work, "report", *words))
    rows = []
    for row in table["methods"]:
        seconds, nfe = (row["scores"][name]["value"] for name in ("seconds", "evaluations"))
        rows.append((nfe, f"| {without_precision(row['title'])} | {nfe:.0f} | {seconds:.2f} |"))
    return [
        "## Cost",
        "",
        f"At x8, in one batch of {TIMED} faces on two CPU cores, networks in bfloat16.",
        "",
        "| Method | NFE | s/image |",
        "| :--- | ---: | ---: |",
        *(line for _, line in sorted(rows)),
        "",
    ]


def quality(work: Path, scale: int) -> list[str]:
    """Run all methods on the faces at one scale; return the table."""
    name = f"faces-x{scale}"
    prepare(work, "faces", scale, name)
    bench(work, "run", "--all", "--testset", name, *PRECISION)
    return [f"## x{scale}", "", plain(bench(work, "report", "--testset", name, "--markdown"))]


def plain(text: str) -> str:
    """Drop the precision, and the notes that name images without a face."""
    paragraphs = without_precision(text).split("\n\n")
    return "\n\n".join(
        p for p in paragraphs if not re.match(r"CS \(dlib\), .* of [^:]+: no face", p)
    )


def draw_curves(work: Path) -> None:
    """Draw quality against NFE for the methods whose NFE is a setting."""
    here = work / "curves"  # a workspace that scores by one metric only
    here.mkdir(exist_ok=True)
    config = (work / "bench.toml").read_text(encoding="utf-8")
    quick = re.sub(r"^metrics = .*$", 'metrics = ["lpips-alex"]', config, flags=re.MULTILINE)
    (here / "bench.toml").write_text(quick, encoding="utf-8")
    prepare(here, str(work / "curve"), 8, "curve")
    for method in CURVES:
        sweep(here, method)
    words = ["--testset", "curve", "--cost", "nfe", "--join", "--width", "6"]
    bench(here, "figure", "pareto", *words, "--out", str(DOCS / FIGURE))


def sweep(here: Path, method: str) -> None:
    """Run a method with several numbers of steps."""
    setting, values = CURVES[method]
    words = [word for v in values for word in (f"--{setting.replace('_', '-')}", str(v))]
    bench(here, "sweep", method, "--testset", "curve", *PRECISION, *words)


def head(folders: str) -> list[str]:
    """Return the head of the file: what it shows, and the networks with their hashes."""
    return [
        "# Every method that runs with the embedded networks",
        "",
        (
            f"Written by `python -m tools.methods` on {datetime.now(UTC).date()}: the first "
            f"{FACES} faces of {folders}, which no network was trained on, by `bench run --all "
            "--precision bfloat16` and the settings of `bench.toml` at all scales. The prior has 5 "
            "million parameters and 64 px, and methods that take another prior, restorer or "
            "operator in their papers have this one here. Do not read the order of the rows as "
            "what the papers report. FACES is the share of results in which dlib finds a face; CS "
            "and ACC are means over the images where it finds one in the results of all methods, "
            "of which too few are left at x16 to compare."
        ),
        "",
        *network_hashes(),
        "",
    ]


def curves() -> list[str]:
    """Return the section on quality against NFE."""
    return [
        "## Quality against NFE",
        "",
        (
            f"LPIPS-Alex of {CURVE_FACES} faces at x8 while the number of steps changes, all other "
            "settings fixed. A line joins the runs of one method."
        ),
        "",
        f"![LPIPS against NFE, one line per method](../{FIGURE})",
        "",
    ]


def published(work: Path) -> list[str]:
    """Return the results at x8 beside the published ones."""
    lines = ["## Beside the paper's Tables 1 and 3", "", PAPER_NOTE, ""]
    for table in ("1", "3"):
        words = ("--table", table, "--testset", "faces-x8", "--beside", "--markdown")
        lines.append(plain(bench(work, "report", *words)))
    return lines


def settings_table(work: Path) -> list[str]:
    """Return a table of the settings with which each method ran."""
    paths = sorted((work / "results" / "faces-x8").glob("*/run.json"))
    specs = [json.loads(path.read_text(encoding="utf-8"))["spec"] for path in paths]
    rows = [
        f"| {spec['method']} | {', '.join(f'{k} = {v}' for k, v in _plain(spec['settings']))} |"
        for spec in specs
    ]
    return ["## Settings", "", "At x8:", "", "| method | settings |", "| --- | --- |", *rows, ""]


def _plain(settings: Any) -> list[tuple[str, Any]]:
    """Return settings by name; a nested method becomes its name."""
    return [(k, v["method"] if isinstance(v, dict) else v) for k, v in settings.items()]


def absent_methods(work: Path) -> list[str]:
    """Return a table of the methods that did not run, with the reasons."""
    methods = json.loads(bench(work, "methods", "--testset", "faces-x8", "--json"))["methods"]
    rows = [f"| {m['name']} | {m['reason']} |" for m in methods if not m["runs"]]
    return ["## Not here", "", "| method | why |", "| --- | --- |", *rows]


if __name__ == "__main__":
    main(sys.argv[1:])
