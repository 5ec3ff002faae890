"""The site builds without warnings, and a built page requests nothing from elsewhere."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import pytest

from tools.site import leaves_docs

ROOT = Path(__file__).parents[2]

FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?(https?:[^\"' >]+)"
    r"|<link(?=[^>]+rel=[\"']?(?:stylesheet|preconnect|icon|preload))"
    r"[^>]+href=[\"']?(https?:[^\"' >]+)"
)
"""Addresses that a browser fetches by itself; a link that a reader follows is not one."""


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_builds_strictly_and_requests_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert FETCHED.findall(page.read_text(encoding="utf-8")) == [], page


def test_a_request_is_noticed() -> None:
    assert FETCHED.search('<script src="https://cdn.example/x.js"></script>')
    assert FETCHED.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert not FETCHED.search('<a href="https://example.org">a link</a>')


@pytest.mark.parametrize(
    ("target", "leaves"),
    [
        ("../../bench/images.py", True),
        ("../images/demo.png", False),
        ("tables.md#latex", False),
        ("https://example.org/../..", False),
        ("../../docs/../README.md", True),
    ],
)
def test_links_that_leave_the_site_are_recognised(target: str, leaves: bool) -> None:
    assert leaves_docs(PurePosixPath("howto"), target) is leaves
