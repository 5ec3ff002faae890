"""The mutation check itself: every mistake can be planted, and what no test notices is named."""

import re
from collections import Counter
from pathlib import Path

import pytest

from bench.errors import BenchError
from tests import mutations
from tests.mutations import ROOT, Mistake, read_mistakes, survivors

CALCULATION = "def next_of(x: int) -> int:\n    return x + 1  # one more\n"
TEST = "from calculation import next_of\n\ndef test_it() -> None:\n    assert next_of(1) == 2\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one calculation and its test."""
    (tmp_path / "calculation.py").write_text(CALCULATION)
    (tmp_path / "test_calculation.py").write_text(TEST)
    return tmp_path


def mistake(is_: str, becomes: str) -> Mistake:
    return Mistake("sign", "calculation.py", is_, becomes, ("test_calculation.py",))


def test_every_mistake_can_be_planted() -> None:
    mistakes = read_mistakes()
    for each in mistakes:
        assert each.plant(ROOT) != (ROOT / each.file).read_text(encoding="utf-8")
        for test in each.tests:
            assert (ROOT / test.partition("::")[0]).is_file(), test
    rooms = Counter(each.file.split("/")[1].removesuffix(".py") for each in mistakes)
    wanted = {"diffusion", "dpi", "ddnm", "ddrm", "dps", "ilvr", "dr2", "difface", "pgdiff"}
    assert rooms.keys() >= wanted | {"testset", "images", "metrics", "training"}


def test_three_of_them_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as CI has time for; `make mutations` plants all."""
    assert mutations.main(["bgr-written", "bgr-read", "levels-over-128"]) == 0
    # Among the names with the last text is that of the batch's degradation.
    assert re.fullmatch(r"4 of 4 mistakes were noticed\.\n", capsys.readouterr().out)


def test_what_is_noticed_and_what_survives(project: Path) -> None:
    noticed, survives = mistake("x + 1", "x - 1"), mistake("one more", "one less")
    assert survivors([noticed, survives], project) == [survives]
    assert (project / "calculation.py").read_text() == CALCULATION


def test_a_survivor_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mistakes.toml").write_text(
        '[comment]\nfile = "calculation.py"\nis = "one more"\nbecomes = "one less"\n'
        'tests = ["test_calculation.py"]\n'
    )
    monkeypatch.setattr(mutations, "ROOT", project)
    monkeypatch.setattr(mutations, "COPIED", ("calculation.py", "test_calculation.py"))
    monkeypatch.setattr(
        mutations, "read_mistakes", lambda: read_mistakes(project / "mistakes.toml")
    )
    assert mutations.main([]) == 1
    printed = capsys.readouterr().out
    assert "Survived: comment: 'one less' in calculation.py" in printed
    assert "0 of 1 mistakes were noticed." in printed
    assert mutations.main(["--check"]) == 0
    (project / "calculation.py").write_text("")
    assert mutations.main(["--check"]) == 2
    assert "comment: 'one more' stands 0 times in calculation.py" in capsys.readouterr().err
    assert mutations.main(["--chek"]) == 2
    assert mutations.main(["unheard-of"]) == 2


@pytest.mark.parametrize(("text", "times"), [("int", 2), ("y * 2", 0)])
def test_a_text_that_is_not_there_once_is_an_error(project: Path, text: str, times: int) -> None:
    with pytest.raises(BenchError, match=rf"stands {times} times in calculation\.py, not once"):
        survivors([mistake(text, "")], project)


def test_tests_that_fail_anyway_prove_nothing(project: Path) -> None:
    (project / "calculation.py").write_text(CALCULATION.replace("+ 1", "+ 3"))
    with pytest.raises(BenchError, match="don't pass without any mistake"):
        survivors([mistake("x + 3", "x - 1")], project)


def test_a_file_that_cannot_be_imported_is_no_mistake_that_was_noticed(project: Path) -> None:
    with pytest.raises(BenchError, match="sign: its tests can't be run"):
        survivors([mistake("return x", "return (x")], project)
