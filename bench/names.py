"""Names from outside that become names of files here: none leads elsewhere, each can be shown."""

import unicodedata

LONGEST = 251
"""Bytes in UTF-8: with a suffix such as .png these are 255, the most that file systems take."""


def objection(name: str) -> str | None:
    """Why a text can't be the name of a file here, to be said after "whose name"; None if it can.

    A blank, a quote, an accent or an emoji is no objection.
    """
    if not name.strip() or name in (".", ".."):
        return "is blank or means a folder"
    if "/" in name or "\\" in name:
        return "has a separator of folders"
    # A line break would make two lines of one wherever names are listed, or hashed a line each.
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in name):
        return "has a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    return f"has more than {LONGEST} bytes" if size > LONGEST else None


def stays_below(path: str) -> bool:
    """Whether a path from outside stays in the folder that it counts from, on Windows too."""
    path = path.replace("\\", "/")
    drive = path[1:2] == ":" and path[0].isalpha()  # of Windows
    return not (drive or path.startswith("/") or "\0" in path or ".." in path.split("/"))
