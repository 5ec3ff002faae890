"""Hypothesis strategies: seeds with damaged bytes or JSON values."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    *(
        b"",
        b"\0",
        b"\xff" * 8,
        b"\x7f\xff\xff\xff",
        b"-1",
        b"0",
        b"nan",
        b"inf",
        b"1e999",
        b"9" * 5000,
    ),
    *(b"../", b"/etc/passwd", b"..\\", b"C:\\", b"\n", b"\r", b'"', b"'", b"=", b"#", b"{", b"}"),
    *(
        b"[" * 3000,
        b"]",
        b"null",
        b"true",
        b"\\ud800",
        b"\\u0000",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
    ),
)

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, float("nan"), float("inf"), "", ".", "..", "../x", "/x"),
    *("a\0b", "a\nb", "\ud800", "x" * 300, "\x1b[0m", [], {}, [[]], [None], {"": {}}, ["a", 1]),
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the seeds after a few cuts, flips and insertions."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 64)))
        match draw(st.sampled_from(["flip", "token", "bytes", "cut", "double", "end", "splice"])):
            case "flip" if start < len(data):
                flipped = data[start] ^ (1 << draw(st.integers(0, 7)))
                data = data[:start] + bytes([flipped]) + data[start + 1 :]
            case "token":
                data = data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]
            case "bytes":
                data = data[:start] + draw(st.binary(max_size=16)) + data[end:]
            case "cut":
                data = data[:start] + data[end:]
            case "double":
                data = data[:end] + data[start:]
            case "end":
                data = data[:start]
            case "splice":
                other = draw(st.sampled_from(seeds))
                data = data[:start] + other[draw(st.integers(0, len(other))) :]
    return data


@st.composite
def altered(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the seeds, which are JSON, with values replaced, added or removed."""
    value = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        inner = draw(st.sampled_from(list(containers(value))))
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys or draw(st.integers(0, 9)) == 0:
            inner = inner if isinstance(inner, dict) else value
            keys = ["odd"]
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or key not in keys:
            inner[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        else:
            inner.pop(key, None) if isinstance(inner, dict) else inner.pop(key)
    return json.dumps(value).encode() + b"\n"


def containers(value: Any) -> Iterator[Any]:
    """Yield all dicts and lists in a value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)
