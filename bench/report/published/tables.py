"""Published values and their conditions, read from `results/published/*.toml`.

A file holds one printed table: where it is from, what its metrics, test sets and methods are
called, and the numbers, digit for digit. `results/published/README.md` shows the form. The file
conditions.toml says how they were measured.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from bench.core.config import read_toml
from bench.core.errors import BenchError
from bench.core.suggest import Entry, look_up
from bench.core.validation import build

# A test set whose images have no common scale, such as real-world images, has this one.
UNSCALED = "real"

CONDITIONS = "conditions.toml"


def scale_name(scale: int | None) -> str:
    """Return the name of a scale in a file, such as "x8"."""
    return UNSCALED if scale is None else f"x{scale}"


@dataclass(frozen=True)
class PublishedValue:
    """A published value: `printed` digit for digit, `source` such as "DPI (AAAI-25), Table 1".

    `method_label` is the method's name in print, `note` what a reader must know about it, or "".
    """

    family: str
    scale: int | None
    method: str
    metric: str
    printed: str
    source: str
    method_label: str
    note: str = ""

    @property
    def value(self) -> float:
        """Return the number in its printed unit."""
        return float(self.printed)


@dataclass(frozen=True)
class PublishedMetric:
    """A published metric: column heading, direction, our name if another, and a note."""

    title: str
    higher_is_better: bool
    measure: str = ""
    note: str = ""


@dataclass(frozen=True)
class Selection:
    """A published row: its label and note, and the runs that it refers to.

    These are the runs of `method`, with `settings` but not `unlike`.
    """

    label: str
    note: str = ""
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    unlike: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> set[str]:
        """Return the settings that select runs."""
        return {*self.settings, *self.unlike}

    def takes(self, method: str, settings: Mapping[str, Any]) -> bool:
        """Return True if a run with these settings is selected."""
        return (
            method == self.method
            and all(settings.get(name) == value for name, value in self.settings.items())
            and all(settings.get(name) != value for name, value in self.unlike.items())
        )


@dataclass(frozen=True)
class Conditions:
    """Conditions of a paper's measurements; None where unknown.

    Attributes:
        size: size of the results in pixels.
        images: number of images per test set.
        protocol: our name of the protocol.
        note: sentence added to every value.
        weights: method -> kind of network -> public checkpoint, "" if none was published.
        settings: method -> setting -> its value, or a table of values by scale ("x8", "real").
    """

    size: int | None = None
    images: int | None = None
    protocol: str | None = None
    note: str = ""
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings_of(self, method: str, scale: str) -> dict[str, Any]:
        """Return the settings of a method at a scale, "x8" or "real"."""
        at_scale = {
            name: value.get(scale) if isinstance(value, Mapping) else value
            for name, value in self.settings.get(method, {}).items()
        }
        return {name: value for name, value in at_scale.items() if value is not None}


@dataclass(frozen=True)
class PublishedTable:
    """A published table; keys are our names, values are as printed.

    `source` is its name for notes: "DPI (AAAI-25), Table 1".
    """

    paper: str
    label: str
    source: str
    metrics: Mapping[str, PublishedMetric]
    test_sets: Mapping[str, str]
    values: tuple[PublishedValue, ...]
    selections: Mapping[str, Selection]
    conditions: Conditions | None = None


Published = Sequence[PublishedTable]
"""All published tables of a folder."""


@dataclass(frozen=True)
class _Source:
    """Section [source] of a file."""

    paper: str
    title: str
    venue: str
    label: str
    caption: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.paper} ({self.venue}), {self.label}"


@dataclass(frozen=True)
class _File:
    """A file; `values` is family -> scale -> method -> metric -> number as printed."""

    source: _Source
    metrics: Mapping[str, PublishedMetric]
    test_sets: Mapping[str, str]
    methods: Mapping[str, str | Selection]
    values: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int | str]]]]


def read_published(folder: Path) -> Published:
    """Read every `*.toml` of a folder, in name order.

    Raises:
        BenchError: the folder has no such file; one can't be read or has an unknown key; two
            tables print different numbers for the same thing.
    """
    files = sorted(file for file in folder.glob("*.toml") if file.name != CONDITIONS)
    if not files:
        raise BenchError(f"{folder} holds no published table: give the folder of the *.toml files.")
    conditions = _read_conditions(folder)
    tables = [read_published_table(file, conditions) for file in files]
    known: dict[tuple[str, int | None, str, str], PublishedValue] = {}
    for value in (value for table in tables for value in table.values):
        key = (value.family, value.scale, value.method, value.metric)
        first = known.setdefault(key, value)
        if first.value != value.value:
            raise BenchError(
                f"{folder}: {first.source} and {value.source} give {first.printed} and"
                f" {value.printed} for {' '.join(str(part) for part in key)}: correct one, or name"
                " one of the methods differently."
            )
    return tables


def _read_conditions(folder: Path) -> dict[str, Conditions]:
    """Return paper -> conditions; empty without a file.

    Raises:
        BenchError: the file can't be read, or has a key that means nothing.
    """
    file = folder / CONDITIONS
    if not file.is_file():
        return {}
    return {
        paper: build(Conditions, values, f"{file}, {paper}")
        for paper, values in read_toml(file).items()
    }


def published_value(
    tables: Published, family: str, scale: int | None, method: str, metric: str
) -> PublishedValue | None:
    """Return the published value of a method on a family of test sets ("celeba"), if any."""
    wanted = (family, scale, method, metric)
    values = (value for table in tables for value in table.values)
    return next((v for v in values if (v.family, v.scale, v.method, v.metric) == wanted), None)


def read_published_table(path: Path, conditions: Mapping[str, Conditions]) -> PublishedTable:
    """Read one published table; `conditions` are by paper.

    Raises:
        BenchError: the file can't be read, lacks a key, or has an unknown one.
    """
    plain = read_toml(path)
    # Decimal keeps the digits as printed: 53.60 stays 53.60.
    exact = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    file = build(_File, {**plain, "values": exact.get("values", {})}, str(path))
    source = file.source
    given = {
        name: Selection(row) if isinstance(row, str) else row for name, row in file.methods.items()
    }
    rows = {name: replace(row, method=row.method or name) for name, row in given.items()}
    return PublishedTable(
        paper=source.paper,
        label=source.label,
        source=str(source),
        metrics={
            name: metric if metric.measure else replace(metric, measure=name)
            for name, metric in file.metrics.items()
        },
        test_sets=file.test_sets,
        selections=rows,
        values=tuple(_values(file, rows, str(path))),
        conditions=conditions.get(source.paper),
    )


def _values(file: _File, rows: Mapping[str, Selection], path: str) -> Iterator[PublishedValue]:
    """Yield the values of a file; families, methods and metrics must be declared above them."""
    for family, scales in file.values.items():
        _declared(family, file.test_sets, f"{path}, [values]")
        for scale, methods in scales.items():
            where = f"{path}, [values.{family}.{scale}]"
            for method, numbers in methods.items():
                row = _declared(method, rows, where)
                for metric, number in numbers.items():
                    _declared(metric, file.metrics, f"{where}, {method}")
                    yield PublishedValue(
                        family=family,
                        scale=_scale(scale, where),
                        method=method,
                        metric=metric,
                        printed=_printed(number, f"{where}, {method}, {metric}"),
                        source=str(file.source),
                        method_label=row.label,
                        note=row.note,
                    )


def _declared(name: str, known: Mapping[str, Entry], where: str) -> Entry:
    return look_up(name, known, f"{where} has no", f"known are {', '.join(known)}.")


def _scale(text: str, where: str) -> int | None:
    if text == UNSCALED:
        return None
    match = re.fullmatch(r"x([1-9][0-9]*)", text)
    if not match:
        raise BenchError(f'{where}: "{text}" is not a scale: write x4, x8, x16 or {UNSCALED}.')
    return int(match[1])


def _printed(number: int | str, where: str) -> str:
    try:
        finite = Decimal(number).is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise BenchError(
            f'{where}: "{number}" is not a number: write it as printed, or leave it out.'
        )
    return str(number)
