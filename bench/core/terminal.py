"""Output on terminals and in files that cannot encode every character."""

import codecs
import sys
import unicodedata

_ERRORS = "bench-ascii"

# ruff: noqa: RUF001 - the table lists look-alikes
_SPELLED = {
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "±": "+-",
    "−": "-",
    "–": "-",
    "—": "-",
    "∞": "inf",
    "…": "...",
    "↑": "^",
    "↓": "v",
    "→": "->",
    "·": ".",
    "’": "'",
    "“": '"',
    "”": '"',
    "✓": "+",
    "✗": "x",
}


def fall_back_to_ascii() -> None:
    """Replace characters that standard output or error cannot encode by ASCII.

    Terminals with Windows code pages, some CI logs and PYTHONIOENCODING=ascii are such; Python
    would raise UnicodeEncodeError.
    """
    codecs.register_error(_ERRORS, _spell)
    for stream in (sys.stdout, sys.stderr):
        # A replaced stream may have no encoding to change.
        if hasattr(stream, "reconfigure") and getattr(stream, "errors", "") != _ERRORS:
            stream.reconfigure(errors=_ERRORS)


def ascii_form(character: str) -> str:
    """Return a character's spelling in ASCII; "?" if it has none."""
    if character in _SPELLED:
        return _SPELLED[character]
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        straight = "AND" not in name.split()
        return {"VERTICAL": "|", "HORIZONTAL": "-"}.get(name.split()[-1], "+") if straight else "+"
    if name.startswith(("BLOCK", "FULL BLOCK")) or "BRAILLE" in name:
        return "#"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(ascii_form(character) for character in lost), error.end
