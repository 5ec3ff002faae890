"""The interface every method meets, and how a method is found by its name and configured."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, TypeVar

from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, Prior
from bench.errors import BenchError, WrongUsage
from bench.typed import override
from bench.weights import Kind

Settings = TypeVar("Settings")

Network = Callable[..., Any]
"""A network of any signature: what it takes and gives is known to its method."""


@dataclass(frozen=True)
class Problem:
    """A batch of low-resolution images to restore, and what may be used for it.

    `lr` is [B, 3, h, w] float32 in [-1, 1], exact uint8 values; the result is
    [B, 3, scale * h, scale * w]. Every random draw comes from `noise`. `models` holds what the
    method's `needs` names, `inner` the method inside it where it has one.
    """

    lr: Tensor
    scale: int
    noise: Noise
    models: "Models"
    inner: "Configured | None" = None

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

    def network(self, need: Kind) -> Network:
        """The network of this kind, as it was trained or published."""
        return _present(self.models.networks.get(need), need)

    def restored_inside(self, lr: Tensor) -> Tensor:
        """What the method inside makes of images: [B, 3, h, w] to [B, 3, H, W], both in [-1, 1].

        They may have another size than the problem's, such as that of the result.
        """
        if self.inner is None:
            raise BenchError(
                "There is no method inside: restore by way of `bench.method.configure`."
            )
        scale = self.size // int(lr.shape[-1])
        return self.inner.restore(replace(self, lr=lr, scale=scale))


@dataclass(frozen=True)
class Models:
    """Networks that methods share, loaded once: prior, Corrector, and all of them by kind."""

    prior: Prior | None = None
    corrector: ConditionalNetwork | None = None
    networks: Mapping[Kind, Network] = field(default_factory=dict)


DEFAULT = "default"
"""In a setting that names a method: what was published for the size, or else bicubic."""


@dataclass(frozen=True)
class Inner:
    """The place inside a method where another one does a part of the work.

    `setting` is the setting that names the other one, which gets settings and networks for the same
    scale; `published` says by the result's size which one `DEFAULT` means.
    """

    setting: str
    published: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """A super-resolution method: a file in `baselines/` that defines `METHOD`.

    `settings(scale)` gives the published settings for a scale, a frozen dataclass; `restore`
    maps a problem and settings to images [B, 3, H, W] in [-1, 1]. The result for an image may
    depend on nothing else: not on its batch mates, not on a global random state. Whoever changes
    a method's numbers raises its `revision`, so that older results are not taken for the new ones.
    `inner` is there if the method hands a part of its work to another one.
    """

    name: str
    title: str
    settings: Callable[[int], Settings]
    restore: Callable[[Problem, Settings], Tensor]
    needs: frozenset[Kind] = frozenset()
    revision: int = 1
    paper: str = ""
    licence: str = ""
    inner: Inner | None = None

    def configured(self, scale: int, overrides: Mapping[str, Any]) -> Settings:
        """Published settings for a scale with some replaced.

        Raises:
            BenchError: an unknown setting, or a value of the wrong type.
        """
        return override(self.settings(scale), overrides, f"settings.{self.name}")


@dataclass(frozen=True)
class Configured:
    """A method with its settings for a scale, and the configured method inside it, if any."""

    method: Method[Any]
    settings: Any
    scale: int
    inner: "Configured | None" = None

    @property
    def parts(self) -> tuple["Configured", ...]:
        """This and all that is inside, the outermost first."""
        return (self, *(self.inner.parts if self.inner else ()))

    def restore(self, problem: Problem) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1]."""
        return self.method.restore(replace(problem, inner=self.inner), self.settings)

    def facts(self) -> dict[str, Any]:
        """All settings, with all that determines the numbers of the method inside in its place."""
        values = asdict(self.settings)
        if self.method.inner and self.inner:
            values[self.method.inner.setting] = {
                "method": self.inner.method.name,
                "revision": self.inner.method.revision,
                "settings": self.inner.facts(),
            }
        return values


def configure(
    method: Method[Any],
    scale: int,
    size: int,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    outer: tuple[str, ...] = (),
) -> Configured:
    """A method and what is inside it, ready for results of `size` at a scale.

    `overrides` is method -> setting -> value, and holds for a method inside another one too.
    `outer` are the methods that this one is inside of.

    Raises:
        BenchError: an unknown method or setting, a value of the wrong type, or a method that
            would hand its work on to itself.
    """
    settings = method.configured(scale, (overrides or {}).get(method.name, {}))
    if method.inner is None:
        return Configured(method, settings, scale)
    name = getattr(settings, method.inner.setting)
    if name == DEFAULT:
        name = method.inner.published.get(size, "bicubic")
    outer = (*outer, method.name)
    if name in outer:
        raise WrongUsage(
            f"settings.{method.name}.{method.inner.setting} is {name!r}, inside of which "
            f"{method.name} itself is at work: choose a method that does not lead back."
        )
    inner = configure(find_method(name), scale, size, overrides, outer)
    return Configured(method, settings, scale, inner)


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
