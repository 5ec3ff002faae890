"""The kinds of networks that methods need, and what the files of those are called."""

from typing import Literal

Kind = Literal["prior", "corrector", "sr3", "codeformer", "gfpgan", "restoreformer", "swinir"]
"""What a method may need. The first three can be trained here, the others were published."""

TRAINED_BY: dict[Kind, str] = {"prior": "prior", "corrector": "crt", "sr3": "sr3"}
"""Kind -> the command that trains it."""


def network_name(kind: Kind, size: int, scale: int | None) -> str:
    """Name of the network for results of this size at a scale: that of its file, or its record.

    A prior serves every scale. What was published for its own size alone has the kind's name.
    """
    if kind not in TRAINED_BY:
        return kind
    if kind == "prior" or scale is None:
        return f"{kind}-{size}"
    return f"{kind}-{size}-x{scale}"
