"""Scores pictures on disk by any metrics, computing only what an earlier table lacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.metrics.metric import Metric, size
from bench.progress import progress

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    import pandas as pd

    from bench.images import Pixels

COLUMNS = ("image", "metric", "identity", "sr_sha256", "hr_sha256", "value")

_CHUNK = 16  # pairs decoded at a time

_Key = tuple[str, str, str]  # metric identity, hash of the picture, hash of the original


@dataclass(frozen=True)
class Pair:
    """A picture and its original on disk, with the sha256 of each file.

    Attributes:
        image: what the table calls it.
        sr: the picture.
        hr: its original.
        sr_sha256: of the file `sr`.
        hr_sha256: of the file `hr`.
    """

    image: str
    sr: Path
    hr: Path
    sr_sha256: str
    hr_sha256: str


def evaluate(
    pairs: Sequence[Pair], metrics: Sequence[Metric], cached: "pd.DataFrame | None"
) -> "pd.DataFrame":
    """Score every pair by every metric that is available here.

    Each file is decoded once for all metrics, and only if one of them needs it.

    Args:
        pairs: what to score.
        metrics: by what; an unavailable one is left out, and its caller knows the reason.
        cached: an earlier result. A value is taken from it where the metric's identity and both
            hashes agree, whatever the image is called.

    Returns:
        One row per pair and metric, with `COLUMNS`: pairs in the order given, and for each the
        metrics in the order given. `value` is float64; PSNR may be infinite.

    Raises:
        BenchError: a file can't be read, a picture differs in size from its original or is too
            small for a metric, or `cached` isn't such a table.
    """
    import pandas as pd

    usable = {m.identity: m for m in metrics if m.unavailable() is None}
    known = _known(cached)
    total = len({key for pair in pairs for key in _keys(pair, usable)} - known.keys())
    with progress("Scoring", total) as advance:
        for chunk in _chunks(pairs, usable, known):
            pictures = {pair: _decode(pair) for pair in chunk}
            for identity, metric in usable.items():
                lacking = _lacking(chunk, identity, known)
                if not lacking:
                    continue
                values = metric.score(
                    [pictures[pair][0] for pair in lacking.values()],
                    [pictures[pair][1] for pair in lacking.values()],
                )
                known.update(zip(lacking, values, strict=True))
                advance(len(lacking), metric.title)
    rows = [
        (pair.image, usable[key[0]].name, *key, known[key])
        for pair in pairs
        for key in _keys(pair, usable)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {column: "float64" if column == "value" else "str" for column in COLUMNS}
    )


def _keys(pair: Pair, identities: "dict[str, Metric]") -> list[_Key]:
    return [(identity, pair.sr_sha256, pair.hr_sha256) for identity in identities]


def _known(cached: "pd.DataFrame | None") -> dict[_Key, float]:
    """The values of an earlier table; an absent value doesn't count as known."""
    if cached is None:
        return {}
    if absent := [column for column in COLUMNS if column not in cached.columns]:
        raise BenchError(
            f"The earlier metrics lack {', '.join(absent)}: delete them to compute them anew."
        )
    present = cached.dropna(subset=["value"])
    keys = zip(present["identity"], present["sr_sha256"], present["hr_sha256"], strict=True)
    return dict(zip(keys, map(float, present["value"]), strict=True))


def _chunks(
    pairs: Sequence[Pair], identities: "dict[str, Metric]", known: dict[_Key, float]
) -> Iterator[list[Pair]]:
    """The pairs that lack a value, so many at a time that memory stays flat."""
    needed = [pair for pair in pairs if any(k not in known for k in _keys(pair, identities))]
    for start in range(0, len(needed), _CHUNK):
        yield needed[start : start + _CHUNK]


def _lacking(chunk: list[Pair], identity: str, known: dict[_Key, float]) -> dict[_Key, Pair]:
    """One pair for each value to compute; pairs of equal files are computed once."""
    keys = {(identity, pair.sr_sha256, pair.hr_sha256): pair for pair in chunk}
    return {key: pair for key, pair in keys.items() if key not in known}


def _decode(pair: Pair) -> "tuple[Pixels, Pixels]":
    from bench.images import read_image

    picture, original = read_image(pair.sr), read_image(pair.hr)
    if picture.shape != original.shape:
        raise BenchError(
            f"{pair.sr} is {size(picture)} but its original {pair.hr} is {size(original)}: "
            "run the method again for this test set."
        )
    return picture, original
