"""The interface every method meets, and how a method is found by its name."""

import difflib
import importlib
import keyword
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, Prior
from bench.errors import BenchError, WrongUsage
from bench.external import exchange
from bench.external.installation import Installation
from bench.external.program import Program, read_program
from bench.images import Pixels, to_model, to_pixels
from bench.typed import override
from bench.weights import Kind

Settings = TypeVar("Settings")

NEW_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 30


@dataclass(frozen=True)
class Problem:
    """A batch of low-resolution images to restore, and what may be used for it.

    `lr` is [B, 3, h, w] float32 in [-1, 1], exact uint8 values; the result is
    [B, 3, scale * h, scale * w]. Every random draw comes from `noise`. `models` holds what the
    method's `needs` names. `images` are ids, for messages and names of files alone; no result may
    depend on them, and they may be absent.
    """

    lr: Tensor
    scale: int
    noise: Noise
    models: "Models"
    images: Sequence[str] = ()

    @property
    def size(self) -> int:
        """Height and width of the result."""
        return self.scale * int(self.lr.shape[-1])

    @property
    def prior(self) -> Prior:
        return _present(self.models.prior, "prior")

    @property
    def corrector(self) -> ConditionalNetwork:
        return _present(self.models.corrector, "corrector")


@dataclass(frozen=True)
class Models:
    """Networks that methods share, loaded once."""

    prior: Prior | None = None
    corrector: ConditionalNetwork | None = None


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """A super-resolution method: a file in `baselines/` that defines `METHOD`.

    `settings(scale)` gives the published settings for a scale, a frozen dataclass; `restore`
    maps a problem and settings to images [B, 3, H, W] in [-1, 1]. The result for an image may
    depend on nothing else: not on its batch mates, not on a global random state. Whoever changes
    a method's numbers raises its `revision`, so that older results are not taken for the new ones.

    The last two are for a method whose work is done outside of this process. `fingerprint(size,
    scale)` gives the hash of each thing there that the numbers depend on, for the run's identity;
    it raises a BenchError with what to do where one is missing, or where the method is not made
    for such a test set. `batch` is how many images it takes at a time; without it, that is the
    user's choice.
    """

    name: str
    title: str
    settings: Callable[[int], Settings]
    restore: Callable[[Problem, Settings], Tensor]
    needs: frozenset[Kind] = frozenset()
    revision: int = 1
    paper: str = ""
    licence: str = ""
    fingerprint: Callable[[int, int], Mapping[str, str]] | None = None
    batch: int | None = None

    @property
    def kind(self) -> str:
        """What sort of method it is, in a word, by what it needs."""
        if self.fingerprint:
            return "external"
        if not self.needs:
            return "plain"
        return "zero-shot" if self.needs == {"prior"} else "trained"

    def configured(self, scale: int, overrides: Mapping[str, Any]) -> Settings:
        """Published settings for a scale with some replaced.

        Raises:
            BenchError: an unknown setting, or a value of the wrong type.
        """
        return override(self.settings(scale), overrides, f"settings.{self.name}")


class Incomplete(BenchError):
    """A method restored a part of its batch; `restored` has these pictures by image id."""

    def __init__(self, method: str, message: str, restored: Mapping[str, Pixels]) -> None:
        super().__init__(message)
        self.method = method
        self.restored = restored


def method_names() -> list[str]:
    """Names of all methods: the files of `baselines/`."""
    return sorted(_files())


def find_method(name: str) -> Method[Any]:
    """The method of this name.

    Raises:
        BenchError: there is none, with the nearest names, or its file is wrong.
    """
    file = _file_of(name)
    if file.suffix == ".toml":
        return external_method(read_program(file))
    method = getattr(importlib.import_module(f"baselines.{file.stem}"), "METHOD", None)
    if not isinstance(method, Method):
        raise BenchError(f"{file} must define METHOD as a bench.method.Method.")
    if method.name != name:
        raise BenchError(f"{file} names its method {method.name!r}: it must be {name!r}.")
    return method


def find_program(name: str) -> Program:
    """The program that the method of this name runs.

    Raises:
        BenchError: as `find_method`, or the method runs none.
    """
    file = _file_of(name)
    if file.suffix != ".toml":
        raise WrongUsage(f"{name} runs no program of others: there is nothing to set up.")
    return read_program(file)


def check_new_name(name: str) -> None:
    """Whether a new method, or results from elsewhere, can have this name.

    Raises:
        WrongUsage: it is a method's, or can't be the name of a file of `baselines/`.
    """
    if not NEW_NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST_NAME:
        raise WrongUsage(
            f"{name!r} can't be a method's name: use small letters and digits, in words joined by "
            f"hyphens, at most {LONGEST_NAME} characters, such as my-method."
        )
    if file := _files().get(name):
        raise WrongUsage(f"There is a method {name} already, {file}: choose another name.")


def external_method(program: Program) -> Method[Any]:
    """A program of others as a method. Its random draws are its own, and so is what they repeat."""

    def restore(problem: Problem, settings: Any) -> Tensor:
        names = problem.images or [f"{i:05}" for i in range(len(problem.lr))]
        pictures = dict(zip(names, to_pixels(problem.lr), strict=True))
        restored, delivery = exchange.restore(program, pictures, problem.scale, settings)
        if wrong := str(delivery):
            log = Installation(program).log
            message = f"{program.name} did not give every image back. {wrong} Its log: {log}."
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


def _file_of(name: str) -> Path:
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=2) or sorted(files)
        raise WrongUsage(f"There is no method {name!r}: did you mean {' or '.join(near)}?")
    return files[name]


def _files() -> dict[str, Path]:
    """Name -> file of every method, in all folders that `baselines` extends over.

    Raises:
        BenchError: two files have one name.
    """
    found: dict[str, Path] = {}
    for folder in map(Path, importlib.import_module("baselines").__path__):
        modules = [folder / f"{module.name}.py" for module in pkgutil.iter_modules([str(folder)])]
        for file in (*modules, *sorted(folder.glob("*.toml"))):
            name = file.stem.replace("_", "-")
            if name in found:
                raise BenchError(f"{found[name]} and {file} have one name: rename one of them.")
            found[name] = file
    return found


T = TypeVar("T")


def _present(model: T | None, need: str) -> T:
    if model is None:
        raise BenchError(f"The method uses a {need}, but its `needs` does not name it.")
    return model
