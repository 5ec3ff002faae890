"""MUSIQ, CLIP-IQA, NIQE and PIQE: no-reference quality, by pyiqa.

The package's licence forbids commercial use, and it pulls in about a hundred other packages, so it
is an extra. Its values change between versions, so the version is part of the identity.
"""

import importlib
import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

from bench.core.paths import missing_packages
from bench.images import Pixels
from bench.metrics.base import Measure, Metric, Reference, package_version
from bench.metrics.checkpoints import checkpoint_missing, checkpoint_path, checkpoint_sha256
from bench.metrics.inputs import UNIT, batch
from bench.networks.torchvision_guard import import_torchvision


@dataclass(frozen=True)
class Quality(Metric):
    """A no-reference metric of pyiqa on inputs in [0, 1].

    Attributes:
        weights: the checkpoint that it reads, None where it has no need of any.
        option: under which name pyiqa takes that file's path.
        smallest: the least height and width.
    """

    compared_with: ClassVar[Reference] = "itself"

    weights: str | None
    option: str
    smallest: int

    @property
    def identity(self) -> str:
        weights = checkpoint_sha256(self.weights) if self.weights else "none"
        return (
            f"{self.name}: pyiqa {package_version('pyiqa')}, RGB as bytes / 255, float32, "
            f"weights {weights}"
        )

    @property
    def records(self) -> tuple[str, ...]:
        return (self.weights,) if self.weights else ()

    def unavailable(self) -> str | None:
        if missing := missing_packages("quality", "pyiqa"):
            return f"{missing}."
        return checkpoint_missing(self.weights) if self.weights else None

    def _smallest(self) -> int:
        return self.smallest

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        import torch

        network = _network(replace(self, jpeg=False), self.device)
        with torch.inference_mode():
            # One at a time: pyiqa does not promise the same values for a batch.
            found = [network(batch([pixels], UNIT, self.device)).flatten() for pixels in sr]
            return [float(value) for value in torch.cat(found).tolist()]


@cache
def _network(metric: Quality, device: str) -> Any:
    options = {metric.option: str(checkpoint_path(metric.weights))} if metric.weights else {}
    return create_metric(metric.name, device=device, **options)


def create_metric(name: str, **options: Any) -> Any:
    """Return a metric of pyiqa without what the package prints and warns of while loading."""
    import_torchvision()
    package: Any = importlib.import_module("pyiqa")
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return package.create_metric(name, **options)


METRICS: tuple[Measure, ...] = (
    Quality("musiq", "MUSIQ", True, "", 2, 50, "musiq", "pretrained_model_path", smallest=32),
    Quality("clipiqa", "CLIP-IQA", True, "", 4, 51, "clip-rn50", "backbone", smallest=32),
    Quality("niqe", "NIQE", False, "", 3, 52, "niqe", "pretrained_model_path", smallest=96),
    Quality("piqe", "PIQE", False, "", 2, 53, weights=None, option="", smallest=16),
)
