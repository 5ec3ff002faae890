"""The interface every method meets, and how a method is found by its name."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, Prior
from bench.errors import BenchError, WrongUsage
from bench.typed import override
from bench.weights import Kind

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Problem:
    """A batch of low-resolution images to restore, and what may be used for it.

    `lr` is [B, 3, h, w] float32 in [-1, 1], exact uint8 values; the result is
    [B, 3, scale * h, scale * w]. Every random draw comes from `noise`. `models` holds what the
    method's `needs` names.
    """

    lr: Tensor
    scale: int
    noise: Noise
    models: "Models"

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
    """

    name: str
    title: str
    settings: Callable[[int], Settings]
    restore: Callable[[Problem, Settings], Tensor]
    needs: frozenset[Kind] = frozenset()
    revision: int = 1
    paper: str = ""
    licence: str = ""

    def configured(self, scale: int, overrides: Mapping[str, Any]) -> Settings:
        """Published settings for a scale with some replaced.

        Raises:
            BenchError: an unknown setting, or a value of the wrong type.
        """
        return override(self.settings(scale), overrides, f"settings.{self.name}")


def method_names() -> list[str]:
    """Names of all methods: the files of `baselines/`."""
    package = importlib.import_module("baselines")
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(package.__path__))


def find_method(name: str) -> Method[Any]:
    """The method of this name.

    Raises:
        BenchError: there is none, with the nearest names.
    """
    names = method_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2) or names
        raise WrongUsage(f"There is no method {name!r}: did you mean {' or '.join(near)}?")
    module = name.replace("-", "_")
    method = getattr(importlib.import_module(f"baselines.{module}"), "METHOD", None)
    if not isinstance(method, Method):
        raise BenchError(f"baselines/{module}.py must define METHOD as a bench.method.Method.")
    return method


T = TypeVar("T")


def _present(model: T | None, need: str) -> T:
    if model is None:
        raise BenchError(f"The method uses a {need}, but its `needs` does not name it.")
    return model
