"""Paths: the project's files, the user's cache, optional packages."""

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from bench.core.errors import BenchError

_PACKAGE = Path(__file__).parents[1]

DISTRIBUTION = "face-sr-bench"
"""Name of the distribution; the import and the command are `bench`."""

HUB = "hf:"
"""Prefix of names on the Hugging Face hub, in place of a path."""


def resource(name: str) -> Path:
    """Return a folder of the project, such as "datasets" or "results/published".

    In an installed package it is below `bench/shipped`; in a checkout, at the root. Try `shipped`
    first, because another package called datasets may be installed next to bench.

    Raises:
        BenchError: the folder is in neither place.
    """
    for folder in (_PACKAGE / "shipped" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise BenchError(f"The project's folder {name} is missing: reinstall bench.")


def checkpoints() -> Path:
    """Return the folder of the embedded checkpoints."""
    return _PACKAGE / "checkpoints"


def cache_folder() -> Path:
    """Return the folder of downloads: BENCH_CACHE, else `bench` in the user's cache."""
    if chosen := os.environ.get("BENCH_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bench"


def cache_unusable() -> str | None:
    """Return why the cache folder is not writable, with the remedy; None if it is."""
    folder = cache_folder()
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "no permission"
    except OSError as error:
        reason = str(error.strerror)
    for path in absent:  # created by the attempt
        with suppress(OSError):
            path.rmdir()
    if not reason:
        return None
    return f"The cache folder {folder} can't be written ({reason}): set BENCH_CACHE to another."


def dlib_models() -> Path | None:
    """Return the folder of dlib's networks in the package that ships them, or None."""
    package = find_spec("face_recognition_models")  # importing it would need an old setuptools
    places = package.submodule_search_locations if package else None
    return Path(places[0]) / "models" if places else None


def missing_packages(extra: str, *modules: str) -> str | None:
    """Return which modules of an extra are missing, with the remedy; None if all are installed.

    `extra` is the part's name in pyproject.toml.
    """
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return None
    return f"{', '.join(absent)} not installed: run `{install_command(extra)}`"


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    checkout = (_PACKAGE.parent / "pyproject.toml").is_file()
    return f"pip install -e '.[{extra}]'" if checkout else f"pip install '{DISTRIBUTION}[{extra}]'"
