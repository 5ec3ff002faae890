"""Bad input: one sentence that says what to do, and nothing on disk changes."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.bad_input import (
    archives,
    commands,
    configuration,
    folders,
    images,
    results,
    testsets,
    weights,
)
from tests.bad_input.case import Accepted, Refused, contents, workspace
from tests.command import bench

PARTS = (images, folders, configuration, commands, testsets, weights, results, archives)
REFUSED = {
    f"{part.__name__.rpartition('.')[2]}: {name}": case
    for part in PARTS
    for name, case in part.REFUSED.items()
}
ACCEPTED = {
    name: case for part in (images, folders, configuration) for name, case in part.ACCEPTED.items()
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("BENCH_CACHE", str(home / "cache"))
        workspace(home)
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workspace as the current folder, with an empty cache."""
    copy = tmp_path / "home"
    shutil.copytree(template, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("BENCH_CACHE", str(copy / "cache"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    return copy


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(REFUSED) >= 80


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_a_sentence(home: Path, name: str) -> None:
    case: Refused = REFUSED[name]
    case.make(home)
    before = contents(home)
    outcome = bench(*shlex.split(case.command))
    assert contents(home) == before
    lines = [line for line in outcome.err.splitlines() if not line.startswith("Test set: ")]
    (line,) = lines
    assert line.startswith("error: ")
    for part in case.says:
        assert part in line
    assert line.endswith((".", "?"))
    assert line.isprintable()
    assert outcome.code == case.code


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_input_is_taken_where_a_rule_says_so(home: Path, name: str) -> None:
    case: Accepted = ACCEPTED[name]
    case.make(home)
    outcome = bench(*shlex.split(case.command))
    assert outcome.code == 0, outcome
    case.holds(home)
