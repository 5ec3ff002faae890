"""Scoring what lies in the store: every run on a test set, by the metrics it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics.evaluate import Pair, evaluate

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    from collections.abc import Sequence
    from pathlib import Path

    from bench.metrics.metric import Metric
    from bench.store import Run
    from bench.testset.manifest import TestSet


def score_runs(testset: TestSet, results: Path, metrics: Sequence[Metric]) -> None:
    """Bring the scores of all runs on a test set up to date.

    Scores by metrics that aren't asked for, or can't be computed today, stay as they are.

    Raises:
        BenchError: a picture can't be read or does not fit its original.
    """
    import pandas as pd

    from bench.store import list_runs

    for run in list_runs(results, testset.name):
        if run.spec.testset != testset.manifest.sha256:
            continue
        pairs, earlier = _pairs(testset, run), run.scores()
        scores = evaluate(pairs, metrics, earlier)
        if earlier is not None:
            other = ~earlier["identity"].isin(scores["identity"])
            current = earlier["sr_sha256"].isin([pair.sr_sha256 for pair in pairs])
            scores = pd.concat([scores, earlier[other & current]], ignore_index=True)
        run.write_scores(scores)


def _pairs(testset: TestSet, run: Run) -> list[Pair]:
    records = run.records()
    return [
        Pair(
            image=entry.id,
            sr=run.picture(entry.id),
            hr=testset.folder / entry.hr,
            sr_sha256=records[entry.id].sha256,
            hr_sha256=entry.hr_sha256,
        )
        for entry in testset.manifest.images
        # Without an original there is nothing that these metrics could compare with.
        if entry.id in records and entry.hr is not None and entry.hr_sha256 is not None
    ]
