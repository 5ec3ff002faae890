"""The glossary of docs/style.md: words that prose of the project does not use."""

import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "docs" / "style.md"


def rejected() -> list[str]:
    glossary = STYLE.read_text(encoding="utf-8").partition("## Glossary")[2].partition("## ")[0]
    rows = [line.split("|")[1].strip() for line in glossary.splitlines() if line.startswith("| ")]
    return [word for word in rows if word not in ("not", "---")]


def prose(path: Path) -> str:
    """Strings and comments of Python; all of any other file; each run of spaces as one."""
    if path.suffix == ".py":
        with path.open("rb") as file:
            words = [
                token.string
                for token in tokenize.tokenize(file.readline)
                if token.type in (tokenize.STRING, tokenize.COMMENT)
                or tokenize.tok_name[token.type] == "FSTRING_MIDDLE"
            ]
        text = "\n".join(words)
    else:
        text = path.read_text(encoding="utf-8")
    return " ".join(text.split())


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "bench", "baselines", "tools", "docs", "datasets", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    paths = {ROOT / name for name in listed}
    return sorted(p for p in paths if p.suffix in (".py", ".md", ".toml", ".html") and p != STYLE)


def test_the_glossary_has_words() -> None:
    assert len(rejected()) >= 12


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_uses_the_words_of_the_field(path: Path) -> None:
    text = prose(path)
    for word in rejected():
        found = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
        assert found is None, f"{path.relative_to(ROOT)}: {word!r}, see docs/style.md"
