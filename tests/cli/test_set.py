"""`--set METHOD.NAME=VALUE`: how values are read, and what they go over; what options mean."""

from pathlib import Path
from typing import Any

import pytest

from bench.cli.options import ExperimentOptions, changed_settings
from bench.core.config import Config, Workspace
from bench.core.errors import WrongUsage
from bench.engine.experiment import Experiment
from tests.small import small_testset


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("dpi.x=3", 3),
        ("dpi.x=3.5", 3.5),
        ("dpi.x=true", True),
        ('dpi.x="3"', "3"),
        ("dpi.x=ddim", "ddim"),
        ("dpi.x=[1, 2]", [1, 2]),
        ("dpi.x=a=b", "a=b"),
        ("dpi.x=2026-02-31", "2026-02-31"),
        ("dpi.x=", ""),
    ],
)
def test_set_reads_values_as_toml_and_bare_words_as_text(change: str, value: object) -> None:
    found = changed_settings([change])
    assert found == {"dpi": {"x": value}}
    assert type(found["dpi"]["x"]) is type(value)


def test_set_overrides_bench_toml_and_the_last_one_wins(tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {"dpi": {"steps": 50, "s": 1.0}, "ilvr": {"steps": 50}}
    here = Workspace(tmp_path, Config(settings=settings), None)
    changes = ["dpi.steps=20", "ddnm.eta=0.5", "dpi.steps=10"]
    experiment = ExperimentOptions(changes).on(here, small_testset(tmp_path, count=1))
    assert experiment.settings == {
        "dpi": {"steps": 10, "s": 1.0},
        "ilvr": {"steps": 50},
        "ddnm": {"eta": 0.5},
    }
    assert settings["dpi"]["steps"] == 50


@pytest.mark.parametrize("change", ["dpi.x", "dpi=3", ".x=3", "dpi.=3", "=3", ""])
def test_set_of_another_form_is_wrong_usage(change: str) -> None:
    with pytest.raises(WrongUsage, match=r"is not of the form METHOD\.NAME=VALUE"):
        changed_settings([change])


def test_options_go_over_bench_toml(tmp_path: Path) -> None:
    settings = {"dpi": {"steps": 50}}
    weights = {"prior": "a", "sr3": "b"}
    config = Config(seed=3, batch=4, precision="float16", weights=weights, settings=settings)
    here, testset = Workspace(tmp_path, config, None), small_testset(tmp_path, count=1)
    assert ExperimentOptions().on(here, testset) == Experiment(
        testset, here.results, settings, weights, seed=3, precision="float16", batch=4
    )
    options = ExperimentOptions(
        changes=["dpi.steps=5"],
        seed=0,
        batch=2,
        prior="c",
        corrector="d",
        weights=["sr3=e"],
        repeat=2,
    )
    assert options.on(here, testset, precision="float32", compiled=True) == Experiment(
        testset,
        here.results,
        {"dpi": {"steps": 5}},
        {"prior": "c", "corrector": "d", "sr3": "e"},
        seed=0,
        repetitions=2,
        precision="float32",
        batch=2,
        compiled=True,
    )
