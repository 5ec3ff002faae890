"""Recipes: what a test set is made of, one TOML file per dataset in `datasets/`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.config import read_toml
from bench.errors import BenchError, WrongUsage
from bench.resources import resource
from bench.typed import build

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the width and height."""


@dataclass(frozen=True)
class Recipe:
    """How a dataset's images become the HR images of a test set.

    `count` images are taken in the order of their names; `size` is that of the paper. `framing`
    gives, per size, a crop box that brings the images to the framing of the prior of that size.
    `source` is a folder beside the recipe for a dataset that ships with the project.
    """

    title: str
    origin: str
    licence: str
    alignment: str
    selection: str
    size: int = 256
    count: int | None = None
    framing: Mapping[str, Box] = field(default_factory=dict)
    source: str | None = None

    def box(self, size: int) -> Box:
        """The crop box for images of this size: the whole image where none is stated."""
        return self.framing.get(str(size), (0.0, 0.0, 1.0, 1.0))


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in resource("datasets").glob("*.toml"))


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        BenchError: there is none (with the nearest name), or its file is wrong.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1) or names
        raise WrongUsage(f"There is no dataset {name!r}: did you mean {' or '.join(near)}?")
    file = resource("datasets") / f"{name}.toml"
    recipe = build(Recipe, read_toml(file), str(file))
    for size, (left, top, right, bottom) in recipe.framing.items():
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise BenchError(f"{file}: framing.{size} is no box within the image.")
    return recipe


def shipped_source(recipe: Recipe) -> Path | None:
    """The folder of a dataset that ships with the project, else None."""
    return resource("datasets") / recipe.source if recipe.source else None
