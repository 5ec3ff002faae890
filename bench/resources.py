"""Files that come with the project: recipes, published tables, embedded checkpoints."""

from pathlib import Path

from bench.errors import BenchError

_PACKAGE = Path(__file__).parent


def resource(name: str) -> Path:
    """A folder of the project, such as "datasets" or "results/published".

    In a checkout it lies at the root; in an installed package, below `bench/resources`.

    Raises:
        BenchError: it is in neither place.
    """
    for folder in (_PACKAGE.parent / name, _PACKAGE / "resources" / name):
        if folder.is_dir():
            return folder
    raise BenchError(f"The folder {name} of the project is missing: install bench again.")


def checkpoints() -> Path:
    """The folder of the embedded checkpoints."""
    return _PACKAGE / "checkpoints"
