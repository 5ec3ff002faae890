"""MkDocs hook: show links that leave docs/ as plain text, since the site holds docs/ alone."""

import re
from pathlib import PurePosixPath
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Replace each link to a file outside docs/ by its text. MkDocs calls this by its name."""
    folder = PurePosixPath(page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        return link[1] if leaves_docs(folder, link[2]) else link[0]

    return LINK.sub(shown, markdown)


def leaves_docs(folder: PurePosixPath, target: str) -> bool:
    """Return True if a relative link from a page in `folder` (below docs/) leads out of docs/."""
    if "://" in target or target.startswith(("#", "mailto:")):
        return False
    depth = 0
    for part in (folder / target.partition("#")[0]).parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0:
            return True
    return False
