"""Published values, read from `results/published/*.toml`.

A file holds one printed table: where it is from, what its metrics, test sets and methods are
called, and the numbers, digit for digit. `results/published/README.md` shows the form.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.suggest import suggestion
from bench.report.published.conditions import FILE_NAME as CONDITIONS
from bench.report.published.conditions import Conditions, read_conditions

# A test set whose images have no common scale, such as real-world images, has this one.
UNSCALED = "real"


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
    """A published metric: column heading, direction, and our name."""

    title: str
    higher_is_better: bool
    measure: str
    note: str = ""


@dataclass(frozen=True)
class Selection:
    """Runs that a published row refers to: a method's, with `settings` but not `unlike`."""

    method: str
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
class PublishedTable:
    """A published table; keys are our names, values are as printed."""

    paper: str
    title: str
    venue: str
    label: str
    caption: str
    metrics: Mapping[str, PublishedMetric]
    test_sets: Mapping[str, str]
    methods: Mapping[str, str]
    values: tuple[PublishedValue, ...]
    notes: tuple[str, ...] = ()
    selections: Mapping[str, Selection] = field(default_factory=dict)
    conditions: Conditions | None = None

    @property
    def source(self) -> str:
        """Return the name for notes: "DPI (AAAI-25), Table 1"."""
        return f"{self.paper} ({self.venue}), {self.label}"


@dataclass(frozen=True)
class Published:
    """All published tables of a folder."""

    tables: tuple[PublishedTable, ...]
    _index: Mapping[tuple[str, int | None, str, str], PublishedValue] = field(repr=False)

    def find(
        self, family: str, scale: int | None, method: str, metric: str
    ) -> PublishedValue | None:
        """Return the published value of a method on a family of test sets ("celeba"), if any."""
        return self._index.get((family, scale, method, metric))


def read_published(folder: Path) -> Published:
    """Read every `*.toml` of a folder, in name order.

    Raises:
        BenchError: the folder has no such file; one can't be read or has a key that means nothing;
            two tables print different numbers for the same thing.
    """
    files = sorted(file for file in folder.glob("*.toml") if file.name != CONDITIONS)
    if not files:
        raise BenchError(f"{folder} holds no published table: give the folder of the *.toml files.")
    conditions = read_conditions(folder)
    read = [read_published_table(file) for file in files]
    tables = tuple(replace(table, conditions=conditions.get(table.paper)) for table in read)
    index: dict[tuple[str, int | None, str, str], PublishedValue] = {}
    for value in (value for table in tables for value in table.values):
        key = (value.family, value.scale, value.method, value.metric)
        first = index.setdefault(key, value)
        if first.value != value.value:
            raise BenchError(
                f"{folder}: {first.source} and {value.source} give {first.printed} and"
                f" {value.printed} for {' '.join(str(part) for part in key)}: correct one, or name"
                " one of the methods differently."
            )
    return Published(tables, index)


def read_published_table(path: Path) -> PublishedTable:
    """Read one published table.

    Raises:
        BenchError: the file can't be read, lacks a key, or has one that means nothing.
    """
    try:
        # Decimal keeps the digits as they are printed: 53.60 stays 53.60.
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise BenchError(f"{path} is not TOML ({error}): correct it.") from None
    return _table(document, str(path))


def _table(document: Mapping[str, Any], where: str) -> PublishedTable:
    _check_keys(document, ("source", "metrics", "test_sets", "methods", "values"), where)
    source = _section(document, "source", where)
    within = f"{where}, [source]"
    keys = ("paper", "title", "venue", "label", "caption")
    _check_keys(source, (*keys, "notes"), within)
    metrics = {
        name: _metric(name, value, f"{where}, metric {name}")
        for name, value in _section(document, "metrics", where).items()
    }
    test_sets = _section(document, "test_sets", where)
    methods = {
        name: _method(name, value, f"{where}, method {name}")
        for name, value in _section(document, "methods", where).items()
    }
    notes = source.get("notes", [])
    if not isinstance(notes, list):
        raise BenchError(f'{within}: "notes" must be a list of sentences.')
    paper, title, venue, label, caption = (_text(source, key, within) for key in keys)
    return PublishedTable(
        paper=paper,
        title=title,
        venue=venue,
        label=label,
        caption=caption,
        metrics=metrics,
        test_sets={name: _text(test_sets, name, f"{where}, [test_sets]") for name in test_sets},
        methods={name: printed for name, (printed, _, _) in methods.items()},
        selections={name: selection for name, (_, _, selection) in methods.items()},
        values=tuple(
            PublishedValue(
                family=family,
                scale=scale,
                method=method,
                metric=metric,
                printed=printed,
                source=f"{paper} ({venue}), {label}",
                method_label=methods[method][0],
                note=methods[method][1],
            )
            for family, scale, method, metric, printed in _numbers(
                _section(document, "values", where), test_sets, methods, metrics, where
            )
        ),
        notes=tuple(str(note) for note in notes),
    )


def _numbers(
    values: Mapping[str, Any],
    test_sets: Iterable[str],
    methods: Iterable[str],
    metrics: Iterable[str],
    where: str,
) -> Iterable[tuple[str, int | None, str, str, str]]:
    within = f"{where}, [values]"
    _check_keys(values, test_sets, within)
    for family in values:
        scales = _section(values, family, within)
        for scale in scales:
            place = f"{where}, [values.{family}.{scale}]"
            rows = _section(scales, scale, f"{where}, [values.{family}]")
            _check_keys(rows, methods, place)
            for method in rows:
                row = _section(rows, method, place)
                _check_keys(row, metrics, f"{place}, {method}")
                for metric, number in row.items():
                    printed = _printed(number, f"{place}, {method}, {metric}")
                    yield family, _scale(scale, place), method, metric, printed


def _scale(text: str, where: str) -> int | None:
    if text == UNSCALED:
        return None
    match = re.fullmatch(r"x([1-9][0-9]*)", text)
    if not match:
        raise BenchError(f'{where}: "{text}" is not a scale: write x4, x8, x16 or {UNSCALED}.')
    return int(match[1])


def _printed(number: object, where: str) -> str:
    finite = isinstance(number, int) or (isinstance(number, Decimal) and number.is_finite())
    if isinstance(number, bool) or not finite:
        raise BenchError(
            f'{where}: "{number}" is not a number: write it as printed, or leave it out.'
        )
    return str(number)


def _metric(name: str, value: object, where: str) -> PublishedMetric:
    if not isinstance(value, dict):
        raise BenchError(f"{where}: write {{ title = ..., higher_is_better = ... }}.")
    _check_keys(value, ("title", "higher_is_better", "measure", "note"), where)
    direction = value.get("higher_is_better")
    if not isinstance(direction, bool):
        raise BenchError(f'{where}: "higher_is_better" must be true or false.')
    note = _text(value, "note", where) if "note" in value else ""
    measure = _text(value, "measure", where) if "measure" in value else name
    return PublishedMetric(_text(value, "title", where), direction, measure, note)


def _method(name: str, value: object, where: str) -> tuple[str, str, Selection]:
    """Parse a published row: name, note, and selected runs.

    `"ILVR"`, or `{ label = "ILVR", note = ..., method = ..., settings = ..., unlike = ... }`.
    """
    if isinstance(value, str):
        return value, "", Selection(name)
    if not isinstance(value, dict):
        raise BenchError(f'{where}: write its printed name, or {{ label = "...", note = "..." }}.')
    _check_keys(value, ("label", "note", "method", "settings", "unlike"), where)
    settings, unlike = (
        # Numbers that are settings, not scores.
        {key: float(v) if isinstance(v, Decimal) else v for key, v in of.items()}
        for of in (
            _section(value, key, where) if key in value else {} for key in ("settings", "unlike")
        )
    )
    method = _text(value, "method", where) if "method" in value else name
    note = _text(value, "note", where) if "note" in value else ""
    return _text(value, "label", where), note, Selection(method, settings, unlike)


def _section(parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = parent.get(key)
    if not isinstance(section, dict):
        raise BenchError(f'{where}: the table "{key}" is missing: add it.')
    return section


def _text(section: Mapping[str, Any], key: str, where: str) -> str:
    text = section.get(key)
    if not isinstance(text, str) or not text:
        raise BenchError(f'{where}: "{key}" is missing: add it, as text.')
    return text


def _check_keys(section: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = tuple(known)
    for key in section:
        if key not in known:
            hint = suggestion(key, known, f"known are {', '.join(known)}.")
            raise BenchError(f"{where} has no {key!r}: {hint}")
