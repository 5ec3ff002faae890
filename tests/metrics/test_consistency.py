"""Consistency with the LR input, and diversity over repetitions."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.images import resize_bicubic
from bench.metrics import find
from bench.metrics.consistency import Diversity, LrConsistency
from bench.metrics.perceptual import Lpips
from bench.metrics.scoring.evaluate import score_runs
from bench.store.run import Run
from bench.store.schema import RunSpec
from tests.small import picture, small_testset

skimage: Any = importlib.import_module("skimage.metrics")


def test_consistency_is_the_psnr_of_lr_pictures() -> None:
    sr = [picture(seed, 64) for seed in range(3)]
    lr = [picture(10, 16), resize_bicubic(sr[1], 8), picture(11, 32)]
    first, exact, third = find("lr-psnr").score(sr, lr)
    assert exact == math.inf
    for value, index in ((first, 0), (third, 2)):
        expected = skimage.peak_signal_noise_ratio(
            lr[index], resize_bicubic(sr[index], len(lr[index]))
        )
        assert value == pytest.approx(expected)


def test_an_original_in_place_of_the_input_is_refused() -> None:
    with pytest.raises(BenchError, match="with its LR input, not with HR"):
        find("lr-psnr").score([picture(0, 64)], [picture(1, 64)])


def test_a_random_degradation_cannot_be_repeated() -> None:
    metric = find("lr-psnr")
    assert metric.of_testset("sample", "bicubic") == metric
    blind = metric.of_testset("sample", "blind")
    assert isinstance(blind, LrConsistency)
    assert "'blind' cannot be applied" in str(blind.unavailable())
    assert blind.key != metric.key


def test_diversity_is_lpips_between_repetitions() -> None:
    diversity, lpips = find("diversity"), find("lpips-alex")
    assert isinstance(diversity, Diversity)
    assert isinstance(lpips, Lpips)
    if reason := diversity.unavailable():
        pytest.skip(reason)
    assert diversity.reference == "repetitions"
    assert diversity.heads == lpips.heads
    sr, others = [picture(0, 64), picture(1, 64)], [picture(2, 64), picture(1, 64)]
    values = diversity.score(sr, others)
    assert values == lpips.score(sr, others)
    assert values[0] > 0.01
    assert values[1] == 0


def test_the_store_gives_each_its_reference(tmp_path: Path) -> None:
    testset = small_testset(tmp_path, count=2)
    runs = []
    for repetition in range(2):
        spec = RunSpec("m", 1, {}, testset.manifest.sha256, {}, 0, repetition)
        run = Run.open(tmp_path / "results", testset.name, "M", spec, {})
        made = {name: picture(5 + repetition) for name in testset.entries}
        run.write(made, seconds=1.0, evaluations=0)
        runs.append(run)
    score_runs(testset, tmp_path / "results", [find("lr-psnr")])
    for index, run in enumerate(runs):
        table = run.scores()
        assert table is not None
        expected = [
            skimage.peak_signal_noise_ratio(
                testset.lr(image), resize_bicubic(picture(5 + index), 4)
            )
            for image in testset.entries
        ]
        np.testing.assert_allclose(table["value"], expected)
