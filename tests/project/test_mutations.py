"""The mutation tests: every mistake can be planted, and a survivor is named."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError
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


def mistake(original: str, mutant: str, where: str = "calculation:next_of") -> Mistake:
    return Mistake("sign", where, original, mutant, ("test_calculation.py",))


def test_every_mistake_can_be_planted() -> None:
    mistakes = read_mistakes()
    rooms = Counter[str]()
    for each in mistakes:
        path, text = each.plant(ROOT)
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(path.read_text(encoding="utf-8")))
        for test in each.tests:
            assert (ROOT / test.partition("::")[0]).is_file(), test
        rooms[path.relative_to(ROOT).parts[1].removesuffix(".py")] += 1
    wanted = {"diffusion", "dpi", "ddnm", "ddrm", "dps", "ilvr", "dr2", "difface", "pgdiff"}
    assert rooms.keys() >= wanted | {"testsets", "images", "metrics", "training"}


@pytest.mark.parametrize(
    "text",
    [
        "def next_of(x):\n    # One more\n    return (\n        x\n        + 1\n    )\n",
        'def next_of(x: int) -> int:\n    """Return the next."""\n    return x+1\n',
        "if True:\n    def next_of(x: int) -> int:\n        é = 'é'; return x + 1\n",
    ],
)
def test_formatting_comments_and_docstrings_do_not_matter(project: Path, text: str) -> None:
    path = project / "bench" / "moved" / "calculation.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    (project / "calculation.py").unlink()
    for where in ("calculation:next_of", "bench.moved.calculation"):
        planted, wrong = mistake("x + 1", "x - 1", where).plant(project)
        assert planted == path
        scope: dict[str, Any] = {}
        exec(wrong, scope)
        assert scope["next_of"](1) == 0


def test_statements_keywords_and_methods_are_found(tmp_path: Path) -> None:
    text = (
        "class A:\n    def f(self):\n        if self:\n            a = 1\n            b = 2  #\n"
        "            return g(a, b, c=3)\n\n    def g(self):\n        return g(c=3)\n"
    )
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "m.py").write_text(text)

    def planted(where: str, original: str, mutant: str) -> str:
        return Mistake("one", where, original, mutant, ()).plant(tmp_path)[1]

    swapped = text.replace("a = 1", "a = 2").replace("b = 2", "b = 1")
    assert planted("m:A.f", "a = 1\nb = 2", "a = 2\nb = 1") == swapped
    assert planted("m:A.f", "c=3", "c=4") == text.replace("b, c=3", "b, c=4")
    places = r"m\.py:6, m\.py:9"
    with pytest.raises(BenchError, match=rf"occurs 2 times in m:A, not once \({places}\)"):
        planted("m:A", "c=3", "c=4")


def test_some_of_them_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """Plant as many as CI has time for; `make mutations` plants all."""
    assert mutations.main(["bgr-"]) == 0
    # Two names contain this text.
    assert re.fullmatch(r"2 of 2 mistakes were noticed\.\n", capsys.readouterr().out)


def test_what_is_noticed_and_what_survives(project: Path) -> None:
    noticed, survives = mistake("x + 1", "x - 1"), mistake("x + 1", "1 + x")
    assert survivors([noticed, survives], project) == [survives]
    assert (project / "calculation.py").read_text() == CALCULATION


def test_a_survivor_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mistakes.toml").write_text(
        '[order]\nwhere = "calculation"\noriginal = "x + 1"\nmutant = "1 + x"\n'
        'tests = ["test_calculation.py"]\n'
    )
    monkeypatch.setattr(mutations, "ROOT", project)
    monkeypatch.setattr(mutations, "COPIED", ("calculation.py", "test_calculation.py"))
    monkeypatch.setattr(
        mutations, "read_mistakes", lambda: read_mistakes(project / "mistakes.toml")
    )
    assert mutations.main([]) == 1
    printed = capsys.readouterr().out
    assert "Survived: order: '1 + x' in calculation" in printed
    assert "0 of 1 mistakes were noticed." in printed
    assert mutations.main(["--check"]) == 0
    (project / "calculation.py").write_text("")
    assert mutations.main(["--check"]) == 2
    assert (
        "order: 'x + 1' occurs 0 times in calculation, not once: bring" in capsys.readouterr().err
    )
    assert mutations.main(["--chek"]) == 2
    assert mutations.main(["unheard-of"]) == 2


@pytest.mark.parametrize(("code", "times"), [("int", 2), ("y * 2", 0)])
def test_code_that_does_not_occur_once_is_an_error(project: Path, code: str, times: int) -> None:
    with pytest.raises(BenchError, match=rf"occurs {times} times in calculation:next_of, not once"):
        survivors([mistake(code, "")], project)


def test_tests_that_fail_anyway_prove_nothing(project: Path) -> None:
    (project / "calculation.py").write_text(CALCULATION.replace("+ 1", "+ 3"))
    with pytest.raises(BenchError, match="don't pass without any mistake"):
        survivors([mistake("x + 3", "x - 1")], project)


def test_a_file_that_cannot_be_imported_is_no_mistake_that_was_noticed(project: Path) -> None:
    with pytest.raises(BenchError, match="sign: its tests can't be run"):
        survivors([mistake("return x + 1", "return (x")], project)
