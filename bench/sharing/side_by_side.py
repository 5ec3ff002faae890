"""Render comparisons for the terminal, as Markdown and as JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bench.report.renderers.escape import markdown_text, one_line
from bench.report.renderers.plain import better, json_number, markdown_grid
from bench.report.renderers.terminal import draw_grid
from bench.report.tables.layout import ABSENT, MINUS, header, number
from bench.sharing.compare import Comparison, Measurement
from bench.sharing.results import Result

LARGEST = 3  # images named of each metric

Grid = list[tuple[str, list[str]]]
"""Headers with the texts of their columns."""


@dataclass(frozen=True)
class _Words:
    """Content of a comparison, unescaped and independent of rendering."""

    sides: tuple[str, ...]
    differences: Grid
    measurements: Grid
    notes: tuple[str, ...]


def comparisons_to_terminal(
    comparisons: Sequence[Comparison], alone: Sequence[Result]
) -> RenderableType:
    """Render grids with notes; print with `soft_wrap=True`."""
    drawn: list[RenderableType] = []
    for comparison in comparisons:
        words = _words(comparison)
        grids = (
            ("What differs", words.differences),
            ("What it did", words.measurements),
        )
        drawn += [
            *([Text()] if drawn else []),
            *(Text(one_line(side)) for side in words.sides),
            *(
                draw_grid(caption, [(name, [Text(one_line(t)) for t in of]) for name, of in grid])
                for caption, grid in grids
                if grid[0][1]
            ),
            *(Text(one_line(note)) for note in words.notes),
        ]
    return Group(*drawn, *(Text(one_line(line)) for line in _alone(alone)))


def comparisons_to_markdown(comparisons: Sequence[Comparison], alone: Sequence[Result]) -> str:
    """Render a heading, two tables and notes per comparison."""
    written = []
    for comparison in comparisons:
        words = _words(comparison)
        written.append(f"### {markdown_text(f'{comparison.one.title}, {comparison.other.title}')}")
        written += [markdown_text(side) for side in words.sides]
        for grid in (words.differences, words.measurements):
            if grid[0][1]:
                escaped = [(name, [*map(markdown_text, texts)]) for name, texts in grid]
                written.append("\n".join(markdown_grid(escaped)))
        written += [markdown_text(note) for note in words.notes]
    written += [markdown_text(line) for line in _alone(alone)]
    return "\n\n".join(written) + "\n"


def comparisons_to_json(comparisons: Sequence[Comparison], alone: Sequence[Result]) -> str:
    """Render numbers at full precision; infinite ones as the string `"Infinity"`."""
    value = {
        "comparisons": [_json_comparison(comparison) for comparison in comparisons],
        "alone": [_json_side(result) for result in alone],
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _words(comparison: Comparison) -> _Words:
    images = len(comparison.images)
    named = zip("AB", (comparison.one, comparison.other), strict=True)
    sides = [
        f"{letter}: {result.title}, {result.name} of {result.place}" for letter, result in named
    ]
    sides.append(
        f"{comparison.one.testset}, N = {images}; {comparison.identical} of {images} images are "
        "byte-identical."
    )
    facts = comparison.differences
    differences = [
        ("", [fact.name if fact.identity else f"{fact.name}, recorded" for fact in facts]),
        ("A", [fact.one or ABSENT for fact in facts]),
        ("B", [fact.other or ABSENT for fact in facts]),
    ]
    most = [
        f"{made.column.title} differs most on "
        + ", ".join(f"{image} ({_signed(value, made)})" for image, value in largest)
        + "."
        for made in comparison.measurements
        if (largest := made.largest(LARGEST))
    ]
    legend = []
    if corrected := sum(made.p_value is not None for made in comparison.measurements):
        legend.append(
            f"B {MINUS} A: the mean difference by image with its 95 % interval (bootstrap over "
            f"images). p: Wilcoxon's signed-rank test, corrected by Holm for {corrected} metrics."
        )
    equal = [] if facts else ["No recorded fact of how they were made differs."]
    notes = (*equal, *most, *comparison.notes, *legend)
    return _Words(tuple(sides), differences, _measurements(comparison), notes)


def _measurements(comparison: Comparison) -> Grid:
    rows = []
    for made in comparison.measurements:
        change, column = made.change, made.column
        interval = change and change.interval
        counts = [made.better, made.worse, made.equal] if made.images else [""] * 3
        rows.append(
            [
                header(column),
                number(made.one, column),
                number(made.other, column),
                _signed(made.difference, made),
                f"{_signed(interval.low, made)} to {_signed(interval.high, made)}"
                if interval
                else "",
                "" if made.p_value is None else f"{made.p_value:.2g}",
                *map(str, counts),
            ]
        )
    headers = ("", "A", "B", f"B {MINUS} A", "95 %", "p", "B better", "worse", "equal")
    return [(name, [row[i] for row in rows]) for i, name in enumerate(headers)]


def _signed(value: float, made: Measurement) -> str:
    """Return a signed difference with enough digits to be nonzero."""
    if not math.isfinite(value):
        return number(value, made.column)
    text = f"{value:+z.{made.column.digits}f}"
    if value and not float(text):
        text = f"{value:+.1e}"
    return text.replace("-", MINUS) if value else "0"


def _alone(alone: Sequence[Result]) -> list[str]:
    if not alone:
        return []
    names = ", ".join(f"{result.name} of {result.place}" for result in alone)
    return [f"Without a counterpart: {names}."]


def _json_comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "a": _json_side(comparison.one),
        "b": _json_side(comparison.other),
        "images": len(comparison.images),
        "same_test_set": comparison.whole,
        "identical_pictures": comparison.identical,
        "differences": [
            {
                "name": one_line(fact.name),
                "a": fact.one and one_line(fact.one),
                "b": fact.other and one_line(fact.other),
                "identity": fact.identity,
            }
            for fact in comparison.differences
        ],
        "metrics": [_json_measurement(made) for made in comparison.measurements],
        "notes": [one_line(note) for note in comparison.notes],
    }


def _json_side(result: Result) -> dict[str, Any]:
    return {
        "title": one_line(result.title),
        "name": one_line(result.name),
        "place": one_line(str(result.place)),
        "test_set": one_line(result.testset),
        "identity": result.spec.identity,
        "images": len(result.records),
    }


def _json_measurement(made: Measurement) -> dict[str, Any]:
    change = made.change
    interval = change and change.interval
    return {
        "name": made.column.name,
        "better": better(made.column),
        "unit": made.column.unit,
        "a": json_number(made.one),
        "b": json_number(made.other),
        "difference": json_number(made.difference),
        "interval": interval and [interval.low, interval.high],
        "p_value": made.p_value,
        "effect": change and change.effect,
        "better_images": made.better,
        "worse_images": made.worse,
        "equal_images": made.equal,
        "left_out": made.left_out,
        "measured_by": [one_line(identity) for identity in made.identities],
        "images": {
            one_line(image): [json_number(value) for value in pair]
            for image, pair in made.images.items()
        },
    }
