"""Score runs in the store, computing missing metrics."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench.core.locks import locked
from bench.core.memory import keep_freed_memory
from bench.core.progress import notice
from bench.metrics.features.cache import FeatureCache
from bench.metrics.protocol import STRICT
from bench.metrics.scoring.batching import Wanted, evaluate
from bench.metrics.scoring.compute import Picture, Task
from bench.metrics.scoring.devices import described, find_devices

if TYPE_CHECKING:  # listing the metrics imports this module and must stay cheap
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.core.concurrency import OrderedMap
    from bench.metrics.base import Measure
    from bench.metrics.protocol import Protocol
    from bench.metrics.sets.reference_set import ReferenceSet
    from bench.store.run import Run
    from bench.store.schema import Record
    from bench.testsets.manifest import TestSet


def score_runs(
    testset: TestSet,
    results: Path,
    metrics: Sequence[Measure],
    protocols: Sequence[Protocol] = (STRICT,),
    spread: OrderedMap | None = None,
    reference: ReferenceSet | None = None,
    device: str = "auto",
) -> None:
    """Compute all missing scores of the runs on a test set.

    Scores by metrics that aren't asked for, or can't be computed today, stay as they are. Metrics
    of a whole set are computed where a run has every image of the test set. `spread` maps the
    work over a cluster, whose workers use the GPUs that they see; without it, `device` is "auto",
    "cpu", "cuda" or "cuda:N", and GPUs are noted in run.json. `reference` is as in `as_measured`.

    Raises:
        WrongUsage: an unknown device.
        BenchError: an image can't be read or does not fit its original.
    """
    import pandas as pd

    from bench.store.reading import current_scores
    from bench.store.run import list_runs

    keep_freed_memory()
    devices = () if spread else find_devices(device)
    adapted = as_measured(metrics, testset, protocols, reference)
    with locked(results / testset.name, notice):  # two evaluations would overwrite each other
        measures = {
            measure.key: measure
            for metric in adapted
            for measure in metric.computed
            if measure.unavailable() is None
        }
        runs = [
            (run, run.records())
            for run in list_runs(results, testset.name)
            if run.spec.testset == testset.manifest.sha256
        ]
        features = FeatureCache(results / testset.name / "features")
        tables = [
            Wanted(
                partial(_tasks, testset, run, records, measures, _earlier(run, runs)),
                run.scores,
                run.note_scores,
            )
            for run, records in runs
        ]
        found = evaluate(tables, features, spread, devices)
        gpus = described(devices)
        for (run, records), scores in zip(runs, found, strict=True):
            run.note_scored_on(gpus)
            if (known := run.scores()) is not None:
                current = current_scores(known, records)
                other = current[~current["identity"].isin(scores["identity"])]
                run.write_scores(pd.concat([scores, other], ignore_index=True))
            else:
                run.write_scores(scores)


def as_measured(
    metrics: Sequence[Measure],
    testset: TestSet,
    protocols: Sequence[Protocol],
    reference: ReferenceSet | None = None,
) -> list[Measure]:
    """Return the metrics under each of these protocols for a test set.

    `reference` is what set metrics compare with (default: the originals).
    """
    plan = testset.manifest.plan
    adapted = [metric.of_testset(plan.recipe, plan.degradation) for metric in metrics]
    if reference:
        adapted = [metric.against(reference) for metric in adapted]
    return [metric.under(protocol) for protocol in protocols for metric in adapted]


def _tasks(
    testset: TestSet,
    run: Run,
    records: Mapping[str, Record],
    measures: Mapping[str, Measure],
    earlier: Sequence[tuple[Run, Mapping[str, Record]]],
) -> Iterator[Task]:
    whole = len(records) == len(testset.manifest.images)
    for entry in testset.manifest.images:
        if entry.id not in records:
            continue
        sr = Picture(run.picture(entry.id), records[entry.id].sha256)
        originals = []
        if entry.hr is not None and entry.hr_sha256 is not None:
            originals.append(Picture(testset.folder / entry.hr, entry.hr_sha256))
        references = {
            "hr": originals,
            "lr": [Picture(testset.folder / entry.lr, entry.lr_sha256)],
            "itself": [sr],
            "repetitions": [
                Picture(other.picture(entry.id), theirs[entry.id].sha256)
                for other, theirs in earlier
                if entry.id in theirs
            ],
        }
        for identity, measure in measures.items():
            if measure.per == "image" or whole:
                for reference in references[measure.reference]:
                    yield Task(entry.id, measure, identity, sr, reference)


def _earlier(
    run: Run, runs: Sequence[tuple[Run, Mapping[str, Record]]]
) -> list[tuple[Run, Mapping[str, Record]]]:
    """Return the earlier repetitions of a run, so that each pair counts once."""
    return [
        (other, records)
        for other, records in runs
        if other.spec.repetition < run.spec.repetition
        and replace(other.spec, repetition=run.spec.repetition) == run.spec
    ]
