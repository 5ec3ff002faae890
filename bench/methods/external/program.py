"""External program described by a TOML file in `baselines/`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any, Literal

from bench.core.config import read_toml
from bench.core.errors import WrongUsage
from bench.core.files import sha256_json
from bench.core.names import stays_below
from bench.core.validation import Positive, build, override

PLACES = ("python", "repository", "input", "output", "scale", "size")
"""Placeholders of a command besides the settings."""

PLACEHOLDER = r"\{(\w+)\}"


@dataclass(frozen=True)
class Environment:
    """Python version (default: bench's own) and packages of the environment.

    `install` lists the arguments of each `pip install` call, run in the repository. `variables` are
    environment variables of these calls and of the program.
    """

    python: str | None = None
    install: tuple[tuple[str, ...], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """Weights of the program: origin, and paths in the repository.

    `sha256` has the hash of a file by its place, where it is known.
    """

    source: str
    files: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """Limits of one call: seconds to start and per image, GiB of memory and of results.

    Memory is counted per process, without reserved address space, of which CUDA takes terabytes.
    Results are all files in the output folder.
    """

    start: float = 600.0
    image: float = 60.0
    memory: float = 32.0
    output: float = 8.0


@dataclass(frozen=True)
class Description:
    """Contents of the TOML file of an external program.

    `command` is a list of words, run in the repository without a shell; {python}, {repository},
    {input}, {output}, {scale}, {size} and each setting's name in braces are filled in. `inputs`
    maps folders below {input} to the images put there: "lr" as in the test set, or "enlarged" to
    `size` by PIL's bicubic filter. `result` is the path of the result for {image} below {output}.
    A program that prints `failure` has failed, whatever its exit code.

    `size` is the size of the results, if the program makes only one; with `reduced` they are
    downsampled for a smaller test set. `scales` are the scales it supports (default: all).
    `settings` are the defaults, and `at` replaces some for a scale. One call gets up to `batch`
    images, to amortise the start of the program.
    """

    title: str
    repository: str
    command: tuple[str, ...]
    commit: str | None = None
    revision: int = 1
    paper: str = ""
    licence: str = ""
    inputs: Mapping[str, Literal["lr", "enlarged"]] = field(default_factory=lambda: {".": "lr"})
    result: str = "{image}.png"
    failure: str | None = None
    size: Positive | None = None
    reduced: bool = False
    scales: tuple[int, ...] = ()
    batch: Positive = 100
    environment: Environment = Environment()
    weights: tuple[Weights, ...] = ()
    limits: Limits = Limits()
    settings: Mapping[str, Any] = field(default_factory=dict)
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """An external program, named after its TOML file."""

    name: str
    description: Description

    def settings(self, scale: int) -> Any:
        """Return the settings for a scale as a frozen dataclass."""
        values = self.description.settings
        fields = [(key, type(value), value) for key, value in values.items()]
        defaults = make_dataclass("Settings", fields, frozen=True)()
        return override(
            defaults, self.description.at.get(str(scale), {}), f"{self.name}.at.{scale}"
        )

    def command(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command with the fields in braces filled in."""
        command = self.description.command
        return [re.sub(PLACEHOLDER, lambda found: str(values[found[1]]), w) for w in command]

    def result_size(self, size: int, scale: int) -> int:
        """Return height and width of the program's results for a test set.

        Raises:
            WrongUsage: the program is not made for its size or scale.
        """
        scales, made = self.description.scales, self.description.size
        if scales and scale not in scales:
            made_for = " and ".join(f"x{s}" for s in scales)
            raise WrongUsage(f"{self.name} supports {made_for} only, not x{scale}.")
        if made is None or made == size or (made > size and self.description.reduced):
            return made or size
        least = "at most " if self.description.reduced else ""
        raise WrongUsage(
            f"{self.name} produces {made} px images, but {size} px are needed: "
            f"prepare a test set of {least}{made} px with --size."
        )

    @property
    def sha256(self) -> str:
        """Return the hash of the description's parts that affect results, weights excluded."""
        d = self.description
        how = [d.command, dict(d.inputs), d.result, d.size, d.reduced]
        where = [d.environment.python, d.environment.install, dict(d.environment.variables)]
        return sha256_json([how, where])


def read_program(file: Path) -> Program:
    """Read and validate a description.

    Raises:
        WrongUsage: an unknown key, an invalid value, or an unknown placeholder in the command.
    """
    description = build(Description, read_toml(file), str(file))
    program = Program(file.stem.replace("_", "-"), description)
    for key, value in description.settings.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise WrongUsage(f"{file}.settings.{key} is {value!r}, but must be a number or string.")
        if not key.isidentifier() or iskeyword(key) or key in PLACES:
            raise WrongUsage(f"{file}.settings.{key} can't be a setting's name.")
    known = {*PLACES, *description.settings}
    for word in description.command:
        for name in re.findall(PLACEHOLDER, word):
            if name not in known:
                raise WrongUsage(
                    f"{file}.command has the unknown placeholder {{{name}}}: known are "
                    f"{', '.join(sorted(known))}."
                )
    if not description.command:
        raise WrongUsage(f"{file}.command is empty.")
    if "{image}" not in description.result:
        raise WrongUsage(f"{file}.result is {description.result!r}, but must name {{image}}.")
    files = [file for weights in description.weights for file in weights.files]
    for weights in description.weights:
        for unknown in weights.sha256.keys() - set(weights.files):
            raise WrongUsage(f"{file}.weights has a sha256 of {unknown}, but no such file.")
    for path in (description.result, *description.inputs, *files):
        if not stays_below(path):
            raise WrongUsage(f"{file} names {path}, which must be a path below a folder.")
    for word in (description.repository, description.commit or "HEAD"):
        if not word or word.startswith("-"):  # git would parse it as an option
            raise WrongUsage(f"{file} names {word!r}, which is not a repository or commit.")
    for scale in description.at:
        if not scale.isdecimal():
            raise WrongUsage(f"{file}.at.{scale} is not a scale.")
        program.settings(int(scale))
    return program
