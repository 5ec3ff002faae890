"""Suggestions for mistyped names, the same for methods, metrics, datasets, settings and weights."""

import difflib
from collections.abc import Iterable

MOST = 3


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return "did you mean 'a', 'b' or 'c'?" with at most three close names, else `otherwise`."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=MOST)]
    if not near:
        return otherwise
    *first, last = (repr(candidate) for candidate in near)
    return f"did you mean {', '.join(first)}{' or ' if first else ''}{last}?"
