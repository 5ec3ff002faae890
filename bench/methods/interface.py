"""Interface of methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, TypeVar

from torch import Tensor

from bench.core.errors import BenchError
from bench.core.validation import override
from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, Prior
from bench.images import Pixels
from bench.networks.kinds import Network

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Problem:
    """A batch of LR images to restore, with networks and noise.

    `lr` is [B, 3, h, w] float32 in [-1, 1] with exact uint8 values; if `sigma`, the standard
    deviation of its noise, is above 0, it is neither rounded nor clipped. The result is [B, 3,
    scale * h, scale * w]. All random draws come from `noise`. `models` holds the networks in the
    method's `needs`, `inner` the inner method, if any. `images` holds ids for messages and file
    names only; it may be empty, and results must not depend on it.
    """

    lr: Tensor
    scale: int
    noise: Noise
    models: "Models"
    images: Sequence[str] = ()
    inner: "Configured | None" = None
    sigma: float = 0.0

    @property
    def size(self) -> int:
        """Return height and width of the results."""
        return self.scale * int(self.lr.shape[-1])

    @property
    def prior(self) -> Prior:
        return _present(self.models.prior, "prior")

    @property
    def corrector(self) -> ConditionalNetwork:
        return _present(self.models.corrector, "corrector")

    def network(self, need: str) -> Network:
        """Return the network of this kind."""
        return _present(self.models.networks.get(need), need)

    def restored_inside(self, lr: Tensor) -> Tensor:
        """Apply the inner method to images: [B, 3, h, w] to [B, 3, H, W], both in [-1, 1].

        The images may differ in size from the problem's and, for example, have the result size.
        """
        if self.inner is None:
            raise BenchError("No inner method is set: call `bench.methods.configure` first.")
        scale = self.size // int(lr.shape[-1])
        return self.inner.restore(replace(self, lr=lr, scale=scale))


@dataclass(frozen=True)
class Models:
    """Loaded networks of a method: prior, Corrector, and all by kind."""

    prior: Prior | None = None
    corrector: ConditionalNetwork | None = None
    networks: Mapping[str, Network] = field(default_factory=dict)


DEFAULT = "default"
"""Value of an inner method's setting: the published one for the size, else bicubic."""


@dataclass(frozen=True)
class Inner:
    """Slot for an inner method.

    `setting` is the name of the setting that selects the inner method, which gets settings and
    networks for the same scale; `published` maps the result size to the method of `DEFAULT`.
    """

    setting: str
    published: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """A super-resolution method: a file in `baselines/` that defines `METHOD`.

    `settings(scale)` returns the published settings for a scale as a frozen dataclass; `restore`
    maps a problem and settings to images [B, 3, H, W] in [-1, 1]. The result for an image must not
    depend on the other images of its batch or on a global random state. Raise `revision` with every
    change of a method's numbers, so that older results are not mistaken for new ones. Set `inner`
    if the method delegates part of its work to another method. `variants` names settings as papers
    do, for example in an ablation: label, printed after the title in tables -> setting -> value.

    `fingerprint` and `batch` are for methods that run outside this process. `fingerprint(size,
    scale)` returns a hash of each external input that affects the numbers, for the run's identity;
    it raises a BenchError with a remedy if one is missing, or if the method can't run on such a
    test set. `batch` is the number of images per call; without it, the user chooses.

    `nfe(settings)` returns the NFE per image over all networks, used to estimate the time left in
    the first batch. Without it, the setting `steps` is used if there is one.
    """

    name: str
    title: str
    settings: Callable[[int], Settings]
    restore: Callable[[Problem, Settings], Tensor]
    needs: frozenset[str] = frozenset()
    revision: int = 1
    paper: str = ""
    licence: str = ""
    inner: Inner | None = None
    fingerprint: Callable[[int, int], Mapping[str, str]] | None = None
    batch: int | None = None
    nfe: Callable[[Settings], int] | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the type of the method: external, plain, zero-shot or trained."""
        if self.fingerprint:
            return "external"
        if not self.needs:
            return "plain"
        return "zero-shot" if self.needs == {"prior"} else "trained"

    def expected_nfe(self, settings: Settings) -> int | None:
        """Return the expected NFE per image; None if unknown."""
        if self.nfe:
            return self.nfe(settings)
        return getattr(settings, "steps", None) if self.needs else None

    def configured(self, scale: int, overrides: Mapping[str, Any]) -> Settings:
        """Return the published settings for a scale with some replaced.

        Raises:
            BenchError: an unknown setting, or a value that it can't have.
        """
        return override(self.settings(scale), overrides, f"settings.{self.name}")

    def variants_of(self, settings: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the variants that a run's settings match: label -> settings."""
        return {
            label: list(values)
            for label, values in self.variants.items()
            if all(settings.get(name) == value for name, value in values.items())
        }


@dataclass(frozen=True)
class Configured:
    """A method with its settings for a scale, and the configured method inside it, if any."""

    method: Method[Any]
    settings: Any
    scale: int
    inner: "Configured | None" = None

    @property
    def parts(self) -> tuple["Configured", ...]:
        """Return the method and its inner methods, outermost first."""
        return (self, *(self.inner.parts if self.inner else ()))

    @property
    def needs(self) -> list[str]:
        """Return the networks that all parts need, the prior before the Corrector."""
        return sorted({need for part in self.parts for need in part.method.needs}, reverse=True)

    def restore(self, problem: Problem) -> Tensor:
        """Restore to images [B, 3, H, W] in [-1, 1]."""
        return self.method.restore(replace(problem, inner=self.inner), self.settings)

    def facts(self) -> dict[str, Any]:
        """Return all settings, with the inner method's facts in place of its name."""
        values = asdict(self.settings)
        if self.method.inner and self.inner:
            values[self.method.inner.setting] = {
                "method": self.inner.method.name,
                "revision": self.inner.method.revision,
                "settings": self.inner.facts(),
            }
        return values

    def fingerprint(self, size: int) -> dict[str, str]:
        """Return hashes of external inputs of all parts.

        Raises:
            BenchError: an input is missing, or a part is not made for results of `size`.
        """
        hashes: dict[str, str] = {}
        for part in self.parts:
            if part.method.fingerprint:
                hashes |= part.method.fingerprint(size, part.scale)
        return hashes


class Incomplete(BenchError):
    """Raised if a method restored only part of its batch; `restored` has these images by id."""

    def __init__(self, method: str, message: str, restored: Mapping[str, Pixels]) -> None:
        super().__init__(message)
        self.method = method
        self.restored = restored


T = TypeVar("T")


def _present(model: T | None, need: str) -> T:
    if model is None:
        raise BenchError(f"The method uses a {need}, but its `needs` does not name it.")
    return model
