"""bench.toml: the defaults of all commands."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import HUB
from bench.core.validation import Positive, build

FILE_NAME = "bench.toml"

Precision = Literal["float32", "bfloat16", "float16"]
"""Precision of the networks; everything else is float32."""


@dataclass(frozen=True)
class Config:
    """Contents of bench.toml.

    `weights` maps a kind of network to the checkpoint to use in place of the one found by size and
    scale; `settings` maps a method to the settings that differ from its defaults; `recognition`
    maps names to the user's own face comparisons, see `bench.metrics.recognition`. `reference` is
    what set metrics compare with, see `bench.api.references`. Without `batch` the device decides.
    """

    testset: str | None = None
    size: Positive | None = None
    seed: int = 0
    batch: Positive | None = None
    reference: str | None = None
    precision: Precision = "float32"
    methods: tuple[str, ...] = ("bicubic", "ilvr", "ddnm", "dpi")
    metrics: tuple[str, ...] = ("lpips-alex", "lpips-vgg", "psnr", "ssim")
    weights: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recognition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Workspace:
    """The folder that commands work in, and its configuration."""

    root: Path
    config: Config
    config_file: Path | None

    @property
    def testsets(self) -> Path:
        return self.root / "testsets"

    @property
    def baselines(self) -> Path:
        """Methods of the user's own."""
        return self.root / "baselines"

    @property
    def datasets(self) -> Path:
        """Recipes of the user's own."""
        return self.root / "datasets"

    @property
    def results(self) -> Path:
        return self.root / "results"


def open_workspace(start: Path) -> Workspace:
    """Open the nearest parent folder with a bench.toml, else `start` with the defaults.

    Raises:
        BenchError: bench.toml can't be parsed, has an unknown key or a value of a wrong type.
    """
    for folder in (start, *start.parents):
        file = folder / FILE_NAME
        if file.is_file():
            return Workspace(folder, read_config(file), file)
    return Workspace(start, Config(), None)


def read_config(file: Path) -> Config:
    """Read and validate a bench.toml; its paths are relative to its folder.

    Raises:
        BenchError: as `open_workspace`.
    """
    config = build(Config, read_toml(file), str(file))
    for name, given in {"methods": config.methods, "metrics": config.metrics}.items():
        if not given:
            raise WrongUsage(f"{file}.{name} is empty: name at least one, or leave it out.")
    weights = {
        kind: choice if choice.startswith(HUB) else str(file.parent / choice)
        for kind, choice in config.weights.items()
    }
    return replace(config, weights=weights)


def read_toml(file: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        BenchError: the file can't be read or parsed, with the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows editors write a byte order mark
        return tomllib.loads(text)
    except OSError as error:
        raise BenchError(f"{file} can't be read: {error.strerror}.") from None
    except RecursionError:
        raise BenchError(f"{file} can't be read: its values are nested too deeply.") from None
    except ValueError as error:  # of TOML, of UTF-8, or a number of thousands of digits
        raise BenchError(f"{file} can't be read: {error}.") from None
