"""Suggestions for mistyped names, the same for methods, metrics, datasets, settings and weights."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from bench.core.errors import WrongUsage

MOST = 3
Entry = TypeVar("Entry")


def look_up(name: str, known: Mapping[str, Entry], lacks: str, otherwise: str) -> Entry:
    """Return the entry of this name.

    Raises:
        WrongUsage: no such entry: `lacks`, the name, and close names or else `otherwise`.
    """
    if name not in known:
        raise WrongUsage(f"{lacks} {name!r}: {suggestion(name, known, otherwise)}")
    return known[name]


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return "did you mean 'a', 'b' or 'c'?" with at most three close names, else `otherwise`."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=MOST)]
    if not near:
        return otherwise
    *first, last = (repr(candidate) for candidate in near)
    return f"did you mean {', '.join(first)}{' or ' if first else ''}{last}?"
