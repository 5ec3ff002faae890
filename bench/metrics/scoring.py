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

    Raises:
        BenchError: a picture can't be read or does not fit its original.
    """
    from bench.store import list_runs

    for run in list_runs(results, testset.name):
        if run.spec.testset == testset.manifest.sha256:
            run.write_scores(evaluate(_pairs(testset, run), metrics, run.scores()))


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
        if entry.id in records
    ]
