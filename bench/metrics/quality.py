"""MUSIQ, CLIP-IQA, NIQE and PIQE: quality of a picture by itself, by pyiqa.

The package's licence allows no commercial use, and it brings about a hundred others, so it is an
extra. What its metrics say moves between its versions, which are therefore in the identity.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError
from bench.metrics.downloads import CLIP, MUSIQ, NIQE, Download
from bench.metrics.metric import Measure, Metric, Reference, package_version
from bench.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from bench.images import Pixels


@dataclass(frozen=True)
class Quality(Metric):
    """A metric of pyiqa, on its input range, [0, 1], and with no reference.

    Attributes:
        weights: the file that it reads, None where it has no need of any.
        option: under which name pyiqa takes that file's path.
        smallest: the least height and width.
    """

    reference: ClassVar[Reference] = "itself"

    weights: Download | None
    option: str
    smallest: int

    @property
    def identity(self) -> str:
        weights = self.weights.sha256 if self.weights else "none"
        return (
            f"{self.name}: pyiqa {package_version('pyiqa')}, RGB in [0, 1], float32, "
            f"weights {weights}"
        )

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("pyiqa") is None:
            return f"{self.title} needs the package pyiqa: run `pip install pyiqa`."
        reason = self.weights.lacking() if self.weights else None
        return reason and f"{self.title} {reason}"

    def _smallest(self) -> int:
        return self.smallest

    def _values(self, sr: "Sequence[Pixels]", hr: "Sequence[Pixels]") -> list[float]:
        import torch

        from bench.images import to_model

        if reason := self.unavailable():
            raise BenchError(reason)
        network = _network(replace(self, jpeg=False))
        with torch.inference_mode():
            # One at a time: what pyiqa gives for a batch is not promised to be the same.
            return [float(network((to_model([pixels]) + 1) / 2).item()) for pixels in sr]


@cache
def _network(metric: Quality) -> Any:
    import_torchvision()
    package: Any = importlib.import_module("pyiqa")
    options = {metric.option: str(metric.weights.path)} if metric.weights else {}
    return package.create_metric(metric.name, device="cpu", **options)


METRICS: tuple[Measure, ...] = (
    Quality(
        "musiq",
        "MUSIQ",
        True,
        "",
        2,
        50,
        weights=MUSIQ,
        option="pretrained_model_path",
        smallest=32,
    ),
    Quality("clipiqa", "CLIP-IQA", True, "", 4, 51, weights=CLIP, option="backbone", smallest=32),
    Quality(
        "niqe", "NIQE", False, "", 3, 52, weights=NIQE, option="pretrained_model_path", smallest=96
    ),
    Quality("piqe", "PIQE", False, "", 2, 53, weights=None, option="", smallest=16),
)
