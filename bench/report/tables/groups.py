"""Values per group of images, such as age or skin tone, and the gaps between groups."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import variance
from typing import TypeVar

from bench.core.errors import BenchError, WrongUsage
from bench.report.tables.table import Column, Row, Table, common_images, mean

T = TypeVar("T")

FIELDS = ("image", "group")

Groups = Mapping[str, tuple[str, ...]]
"""Name of a group -> image ids, in the file's order."""

_SET = "It is computed over the whole test set, not per group."
_GAP = (
    "Gap: the largest difference between the means of two groups. It is above 0 by chance, too: "
    "see its interval (--intervals), which assumes that the groups' images are independent."
)


def read_groups(file: Path, images: Sequence[str]) -> Groups:
    """Read groups.csv, one line per image with the columns image and group.

    Raises:
        BenchError: the file can't be read, or is not such a table.
        WrongUsage: an image not in the test set or named twice, or fewer than two groups.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            lines = list(reader)
            fields = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{file} can't be read as a CSV file: {error}.") from None
    if not set(FIELDS) <= set(fields):
        raise BenchError(f"{file} lacks the columns {' and '.join(FIELDS)} in its first line.")
    groups: dict[str, list[str]] = {}
    known, seen = set(images), set[str]()
    for number, line in enumerate(lines, 2):
        image, group = ((line[name] or "").strip() for name in FIELDS)
        if image not in known:
            raise WrongUsage(f"{file}, line {number}: the test set has no image {image!r}.")
        if image in seen:
            raise WrongUsage(f"{file}, line {number}: {image} is in a group already.")
        if not group:
            raise WrongUsage(f"{file}, line {number}: {image} has no group.")
        seen.add(image)
        groups.setdefault(group, []).append(image)
    if len(groups) < 2:
        raise WrongUsage(f"{file} names {len(groups)} group: give at least two.")
    return {group: tuple(members) for group, members in groups.items()}


def group_tables(table: Table, groups: Groups) -> list[Table]:
    """Return one table per group, and one of the gaps between groups.

    Metrics of whole sets have no value per group.
    """
    return [*(_of_group(table, name, groups[name]) for name in groups), _gaps(table, groups)]


def _of_group(table: Table, name: str, members: Sequence[str]) -> Table:
    return replace(
        table,
        test_set=f"{table.test_set}, {name}",
        images=len(members),
        rows=tuple(_narrowed(row, table.columns, set(members)) for row in table.rows),
        notes=(),
    )


def _narrowed(row: Row, columns: Sequence[Column], members: set[str]) -> Row:
    """Return a row restricted to some images, without published values."""
    of_sets = {column.name: _SET for column in columns if column.per == "set"}
    scores, undefined = _of_images(row.scores, members), _of_images(row.undefined, members)
    done = set[str]().union(*scores.values(), *undefined.values())
    return replace(
        row,
        scores=scores,
        undefined={metric: of for metric, of in undefined.items() if of},
        images_done=len(done),
        missing={**row.missing, **of_sets},
        whole={name: value for name, value in row.whole.items() if name not in of_sets},
        errors={},
        published={},
        departures={},
        repetitions=tuple(_narrowed(one, columns, members) for one in row.repetitions),
    )


def _of_images(table: Mapping[str, Mapping[str, T]], images: set[str]) -> dict[str, dict[str, T]]:
    """Return metric -> image -> value, restricted to some images."""
    return {
        metric: {image: value for image, value in of.items() if image in images}
        for metric, of in table.items()
    }


def _gaps(table: Table, groups: Groups) -> Table:
    columns = [column for column in table.columns if column.per == "image"]
    common = {column.name: set(common_images(column.name, table.rows)) for column in columns}
    return replace(
        table,
        test_set=f"{table.test_set}, gap between {', '.join(groups)}",
        columns=tuple(replace(c, higher_is_better=False, per="set") for c in columns),
        rows=tuple(_gap_row(row, columns, common, groups) for row in table.rows),
        notes=(_GAP,),
    )


def _gap_row(
    row: Row, columns: Sequence[Column], common: Mapping[str, set[str]], groups: Groups
) -> Row:
    whole: dict[str, float] = {}
    errors: dict[str, float] = {}
    missing = dict(row.missing)
    for column in columns:
        of = row.scores.get(column.name, {})
        values = {
            name: [of[image] for image in members if image in common[column.name] and image in of]
            for name, members in groups.items()
        }
        finite = all(len(v) > 1 and all(map(math.isfinite, v)) for v in values.values())
        if not finite:
            missing.setdefault(column.name, "A group has fewer than two images with a value.")
            continue
        means = {name: mean(each) for name, each in values.items()}
        low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        whole[column.name] = means[high] - means[low]
        squares = [variance(values[name]) / len(values[name]) for name in (low, high)]
        errors[column.name] = math.sqrt(sum(squares))
    return replace(
        row,
        scores={},
        undefined={},
        whole=whole,
        errors=errors,
        missing=missing,
        published={},
        departures={},
        repetitions=(),
    )
