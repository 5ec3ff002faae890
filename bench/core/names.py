"""Validation of external names that become file names."""

import unicodedata

LONGEST = 251
"""Longest name in UTF-8 bytes; with a suffix it reaches 255, the limit of file systems."""


def invalid_filename_reason(name: str) -> str | None:
    """Return why a string cannot be a file name, to follow "whose name"; None if it can.

    Blanks, quotes, accents and emoji are fine.
    """
    if not name.strip() or name in (".", ".."):
        return "is blank or means a folder"
    if "/" in name or "\\" in name:
        return "contains a path separator"
    # A line break would make one name two lines wherever names are listed, or hashed by line.
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in name):
        return "has a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    return f"has more than {LONGEST} bytes" if size > LONGEST else None


def stays_below(path: str) -> bool:
    """Return True if a relative path stays below its folder, also on Windows."""
    path = path.replace("\\", "/")
    drive = path[1:2] == ":" and path[0].isalpha()
    return not (drive or path.startswith("/") or "\0" in path or ".." in path.split("/"))
