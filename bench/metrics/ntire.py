"""The ranking of the NTIRE challenges on real-world face restoration, 2025 and 2026.

Score and thresholds are those of the challenges' evaluation code, commit 3b1903d of
zhengchen1999/NTIRE2025_RealWorld_Face_Restoration and 7ca192d of
jkwang28/NTIRE2026_RealWorld_Face_Restoration. 2026's code has lower thresholds for WIDER and
WebPhoto than its README, which states those of 2025. A submission fails if more than ten of its 450
faces are below them. The challenges average over five test sets; here a column is of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bench.metrics.base import FeatureMetric, Measure, Reference, no_face
from bench.metrics.features.adaface import ADAFACE
from bench.metrics.features.extractor import Features
from bench.metrics.features.inception import PYTORCH_FID
from bench.metrics.protocol import Protocol
from bench.metrics.pyiqa_any import Pyiqa, PyiqaAlone
from bench.metrics.quality import METRICS as QUALITY
from bench.metrics.set_distances import Frechet
from bench.metrics.sets.reference_set import ReferenceSet

THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    "2025": {"wider": 0.3, "webphoto": 0.3, "lfw": 0.6, "celebchild": 0.6, "celeba": 0.5},
    "2026": {"wider": 0.2, "webphoto": 0.25, "lfw": 0.6, "celebchild": 0.6, "celeba": 0.5},
}
"""Year -> recipe -> least cosine between AdaFace embeddings of input and result."""


@dataclass(frozen=True)
class FaceFid(Frechet):
    """FID to FFHQ as pytorch-fid resizes, under every protocol."""

    def unavailable(self) -> str | None:
        if self.reference_set is None:
            return "It compares with FFHQ: run `bench reference add ffhq FOLDER`."
        return super().unavailable()

    def under(self, protocol: Protocol) -> Self:
        return self


@dataclass(frozen=True)
class NtireScore(Measure):
    """CLIP-IQA + MANIQA + MUSIQ / 100 + Q-Align / 5 + (10 - NIQE) / 10 + (100 - FID) / 100.

    The last two terms are at least 0.

    Attributes:
        of: the six columns, in this order.
    """

    per = "set"
    compared_with: ClassVar[Reference] = "itself"

    of: tuple[Measure, ...]

    @property
    def parts(self) -> tuple[Measure, ...]:
        return self.of

    @property
    def identity(self) -> str:
        return f"ntire-score of {'; '.join(part.identity for part in self.of)}"

    @property
    def reference_name(self) -> str:
        return self.of[-1].reference_name

    @property
    def records(self) -> tuple[str, ...]:
        return tuple(record for part in self.of for record in part.records)

    def unavailable(self) -> str | None:
        reasons = (f"{p.title}: {reason}" for p in self.of if (reason := p.unavailable()))
        return next(reasons, None)

    def under(self, protocol: Protocol) -> Self:
        return replace(self, of=tuple(part.under(protocol) for part in self.of))

    def against(self, reference: ReferenceSet) -> Self:
        return replace(self, of=tuple(part.against(reference) for part in self.of))

    def combined(self, values: Sequence[float]) -> float:
        clipiqa, maniqa, musiq, qalign, niqe, fid = values
        perceptual = clipiqa + maniqa + musiq / 100 + qalign / 5
        return perceptual + max(0.0, (10 - niqe) / 10) + max(0.0, (100 - fid) / 100)


@dataclass(frozen=True)
class IdentityCosine(FeatureMetric):
    """Cosine between the AdaFace embeddings of the result and of the LR input."""

    compared_with: ClassVar[Reference] = "lr"

    extractor = ADAFACE

    @property
    def identity(self) -> str:
        return f"cosine to the LR input, {self.extractor.identity}"

    def compare(self, sr: Features, hr: Features) -> float | str:
        return no_face(sr, hr, "input") or float(sr["embedding"] @ hr["embedding"])


@dataclass(frozen=True)
class IdentityFailed(IdentityCosine):
    """100 where the cosine is below a challenge's threshold for the test set, else 0.

    Attributes:
        year: year of the challenge.
        recipe: recipe of the test set.
    """

    year: str
    recipe: str = ""

    @property
    def identity(self) -> str:
        least = THRESHOLDS[self.year].get(self.recipe)
        return f"ntire-id-{self.year}: {super().identity}, below {least}"

    def unavailable(self) -> str | None:
        if self.recipe and self.recipe not in THRESHOLDS[self.year]:
            known = ", ".join(THRESHOLDS[self.year])
            return f"The NTIRE challenge has thresholds for {known} only."
        return super().unavailable()

    def of_testset(self, recipe: str, degradation: str) -> Self:
        return replace(self, recipe=recipe)

    def compare(self, sr: Features, hr: Features) -> float | str:
        cosine = super().compare(sr, hr)
        if isinstance(cosine, str):
            return cosine
        return 100.0 if cosine < THRESHOLDS[self.year][self.recipe] else 0.0


def _pyiqa(name: str) -> Pyiqa:
    return PyiqaAlone(f"pyiqa:{name}", name.upper(), True, "", 4, 60, of=name)


_QUALITY = {metric.name: metric for metric in QUALITY}

_PARTS: tuple[Measure, ...] = (
    _QUALITY["clipiqa"],
    _pyiqa("maniqa"),
    _QUALITY["musiq"],
    _pyiqa("qalign"),
    _QUALITY["niqe"],
    FaceFid("fid-ffhq", "FID (FFHQ)", False, "", 2, 40, source=PYTORCH_FID),
)

METRICS: tuple[Measure, ...] = (
    NtireScore("ntire-score", "NTIRE score", True, "", 4, 80, of=_PARTS),
    IdentityCosine("id-adaface", "ID (AdaFace)", True, "", 4, 81),
    *(
        IdentityFailed(f"ntire-id-{year}", f"ID fails ({year})", False, "%", 1, 82, year=year)
        for year in THRESHOLDS
    ),
)
