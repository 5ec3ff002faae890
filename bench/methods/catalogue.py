"""Catalogue of methods: find them by name and configure them for a test set."""

import importlib
import keyword
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import resource
from bench.core.suggest import look_up
from bench.images import to_model, to_pixels
from bench.methods.external import exchange
from bench.methods.external.installation import Installation
from bench.methods.external.program import Program, read_program
from bench.methods.interface import DEFAULT, Configured, Incomplete, Method, Problem
from bench.methods.settings import check_divisors

SHIPPED = resource("baselines")
"""Folder of bench's methods."""

_IN_A_WHEEL, _IN_A_CHECKOUT = "bench.shipped.baselines", "baselines"
"""Package of that folder."""

NEW_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 30


def configure(
    method: str | Method[Any],
    scale: int,
    size: int,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    outer: tuple[str, ...] = (),
) -> Configured:
    """Return a method, and its inner method, with settings for results of `size` at a scale.

    `method` may be a name. `overrides` is method -> setting -> value, inner methods included;
    `outer` names the methods around this one.

    Raises:
        BenchError: an unknown method or setting, an invalid value, or a method inside itself.
    """
    if isinstance(method, str):
        method = find_method(method)
    settings = method.configured(scale, (overrides or {}).get(method.name, {}))
    check_divisors(settings, size, f"settings.{method.name}")
    if method.inner is None:
        return Configured(method, settings, scale)
    name = getattr(settings, method.inner.setting)
    if name == DEFAULT:
        name = method.inner.published.get(size, "bicubic")
    outer = (*outer, method.name)
    if name in outer:
        raise WrongUsage(
            f"settings.{method.name}.{method.inner.setting} is {name!r}, which contains "
            f"{method.name} itself: choose another method."
        )
    inner = configure(name, scale, size, overrides, outer)
    return Configured(method, settings, scale, inner)


def method_names() -> list[str]:
    """Return the names of all methods, which are the files of `baselines/`."""
    return sorted(_files())


def program_names() -> list[str]:
    """Return the names of the external methods."""
    return sorted(name for name, file in _files().items() if file.suffix == ".toml")


def method_folders() -> list[str]:
    """Return the folders of methods: the shipped one, and the user's own."""
    return list(_package().__path__)


def look_in(folders: list[str]) -> None:
    """Set the folders of methods, as in another process."""
    _package().__path__[:] = folders


def find_method(name: str) -> Method[Any]:
    """Return the method of this name.

    Raises:
        BenchError: no such method (the message suggests close names), or a wrong file.
    """
    file = _file_of(name)
    if file.suffix == ".toml":
        return external_method(read_program(file))
    method = getattr(importlib.import_module(f"{_package().__name__}.{file.stem}"), "METHOD", None)
    if not isinstance(method, Method):
        raise BenchError(f"{file} must define METHOD as a bench.methods.Method.")
    if method.name != name:
        raise BenchError(f"{file} names its method {method.name!r}: it must be {name!r}.")
    return method


def find_program(name: str) -> Program:
    """Return the external program of this method.

    Raises:
        BenchError: as `find_method`, or the method runs none.
    """
    file = _file_of(name)
    if file.suffix != ".toml":
        raise WrongUsage(f"{name} is not an external program: there is nothing to set up.")
    return read_program(file)


def check_new_name(name: str) -> None:
    """Check the name of a new method or of imported results.

    Raises:
        WrongUsage: the name is a method's, or can't be the name of a file of `baselines/`.
    """
    if not NEW_NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST_NAME:
        raise WrongUsage(
            f"{name!r} can't be a method's name: use lowercase letters and digits, in words joined "
            f"by hyphens, at most {LONGEST_NAME} characters, such as my-method."
        )
    if file := _files().get(name):
        raise WrongUsage(f"There is a method {name} already, {file}: choose another name.")


def external_method(program: Program) -> Method[Any]:
    """Wrap an external program as a method; it seeds its own random draws."""

    def restore(problem: Problem, settings: Any) -> Tensor:
        names = problem.images or [f"{i:05}" for i in range(len(problem.lr))]
        pictures = dict(zip(names, to_pixels(problem.lr), strict=True))
        restored, delivery = exchange.run_program(program, pictures, problem.scale, settings)
        if wrong := str(delivery):
            log = Installation(program).log
            message = f"{program.name} did not return every image. {wrong} Its log: {log}."
            raise Incomplete(program.name, message, restored)
        return to_model([restored[name] for name in names]).to(problem.lr.device)

    def fingerprint(size: int, scale: int) -> dict[str, str]:
        program.result_size(size, scale)
        return Installation(program).fingerprint()

    description = program.description
    return Method(
        name=program.name,
        title=description.title,
        settings=program.settings,
        restore=restore,
        revision=description.revision,
        paper=description.paper,
        licence=description.licence,
        fingerprint=fingerprint,
        batch=description.batch,
    )


def _package() -> ModuleType:
    """Import the package of methods: bench's own in a wheel, else the checkout's.

    Raises:
        BenchError: another installed package shadows the checkout's.
    """
    in_a_wheel = SHIPPED.parent.name == "shipped"
    package = importlib.import_module(_IN_A_WHEEL if in_a_wheel else _IN_A_CHECKOUT)
    if Path(str(package.__file__)).parent.resolve() != SHIPPED.resolve():
        raise BenchError(
            f"Another package called {_IN_A_CHECKOUT} is installed, {package.__file__}: uninstall "
            "it, or install bench as a wheel, which contains its methods."
        )
    return package


def _file_of(name: str) -> Path:
    return look_up(name, _files(), "There is no method", "`bench methods` lists all.")


def _files() -> dict[str, Path]:
    """Return name -> file of every method in all folders of `baselines`.

    Raises:
        BenchError: two files have one name.
    """
    found: dict[str, Path] = {}
    for folder in map(Path, method_folders()):
        modules = [folder / f"{module.name}.py" for module in pkgutil.iter_modules([str(folder)])]
        for file in (*modules, *sorted(folder.glob("*.toml"))):
            name = file.stem.replace("_", "-")
            if name in found:
                raise BenchError(
                    f"{found[name]} and {file} have the same name: rename one of them."
                )
            found[name] = file
    return found
