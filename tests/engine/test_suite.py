"""Running several methods: each once, and not before everything is there."""

from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError, WrongUsage
from bench.engine.experiment import Experiment
from bench.engine.run import Finished, run_suite
from bench.testsets.manifest import TestSet
from tests.small import small_testset


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


def suite(
    testset: TestSet, *names: str, weights: dict[str, str] | None = None, **settings: dict[str, Any]
) -> list[Finished]:
    """The methods run on a test set, with results beside it."""
    experiment = Experiment(testset, results_of(testset), settings, weights or {}, batch=8)
    return run_suite(names, experiment)


def results_of(testset: TestSet) -> Path:
    return testset.folder.parent / "results"


def test_a_suite_runs_each_method_once_in_the_order_given(testset: TestSet) -> None:
    finished = suite(testset, "bicubic", "bicubic")
    assert [item.run.spec.method for item in finished] == ["bicubic"]
    assert finished[0].restored == 4


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        (["dpi"], {}, BenchError, "There is no prior for 16 px"),
        (["ddnm"], {"weights": {"prior": "x.pt"}}, BenchError, r"There is no prior at x\.pt"),
        (
            ["dpi"],
            {"weights": {"prior": __file__, "corrector": "crt.safetensors"}},
            BenchError,
            r"There is no corrector at crt\.safetensors",
        ),
        (["dpii"], {}, WrongUsage, "no method 'dpii': did you mean 'dpi'"),
        ([], {"ilvrr": {}}, WrongUsage, "no method 'ilvrr': did you mean 'ilvr'"),
        (
            [],
            {"dpi": {"step": 5}},
            WrongUsage,
            r"settings\.dpi has no 'step': did you mean 'steps'",
        ),
        ([], {"ilvr": {"steps": "5"}}, WrongUsage, r"settings\.ilvr\.steps is '5', but must be a"),
    ],
)
def test_whatever_is_lacking_is_found_before_anything_runs(
    testset: TestSet,
    names: list[str],
    options: dict[str, Any],
    error: type[BenchError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        suite(testset, "bicubic", *names, **options)
    assert not results_of(testset).exists()


def test_settings_of_methods_that_are_not_run_do_no_harm(testset: TestSet) -> None:
    # bench.toml has them for DPI, whose Corrector may be missing.
    assert len(suite(testset, "bicubic", dpi={"steps": 20})) == 1
