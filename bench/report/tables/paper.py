"""Lay out published tables with our values: the paper's methods, order and metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.errors import WrongUsage
from bench.metrics.base import Measure
from bench.report.published.tables import (
    UNSCALED,
    Published,
    PublishedTable,
    Selection,
    scale_name,
)
from bench.report.tables.beside import with_published
from bench.report.tables.collect import table_of
from bench.report.tables.runs import first_repetitions, repeated, runs_on
from bench.report.tables.table import Row, Table
from bench.store.reading import Reading
from bench.testsets.manifest import Plan, TestSet


def find_printed(published: Published, number: int) -> PublishedTable:
    """Return the published table of this number.

    Raises:
        WrongUsage: no such table.
    """
    tables = {table.label: table for table in published}
    if (label := f"Table {number}") not in tables:
        raise WrongUsage(f"There is no published {label}: known are {', '.join(tables)}.")
    return tables[label]


def choose_testsets(printed: PublishedTable, plans: Mapping[str, Plan]) -> list[str]:
    """Choose the prepared test sets, name -> plan, that a table covers.

    Prefer test sets of the table's own families; without any, take those of its scales, which have
    other faces. Test sets with noise are of no published table.

    Raises:
        WrongUsage: no prepared test set fits.
    """
    plans = {name: plan for name, plan in plans.items() if plan.noise is None}
    places = list(dict.fromkeys((v.family, scale_name(v.scale)) for v in printed.values))
    scales = [scale for _, scale in places]
    exact = {
        name: places.index(place)
        for name, plan in plans.items()
        if (place := (plan.recipe, plan.kind)) in places
    }
    alike = {name: scales.index(p.kind) for name, p in plans.items() if p.kind in scales}
    if found := exact or alike:
        return sorted(found, key=lambda name: (found[name], plans[name].size, name))
    family, _ = places[0]
    wanted = " ".join(dict.fromkeys(scale.removeprefix("x") for scale in scales))
    option = "" if wanted == UNSCALED else f" --scale {wanted}"
    raise WrongUsage(
        f"No test set of {printed.label} is prepared: `bench prepare {family}{option}` makes it."
    )


def paper_table(
    printed: PublishedTable,
    testset: TestSet,
    results: Path,
    metrics: Sequence[Measure],
    protocol: str,
) -> Table:
    """Return a published table with our values on one test set beside the published ones.

    A method gets a row for each run with the published settings or, if there is none, for each of
    its runs; without runs, a row with the command that makes one. No run appears in two rows.
    `metrics` are the table's, configured for `protocol`.
    """
    left = runs_on(testset, results)
    chosen = {}
    for name, selection in printed.selections.items():
        chosen[name] = _chosen(printed, selection, testset, left)
        left = [run for run in left if run not in chosen[name]]
    runs = [run for of in chosen.values() for run in of]
    table = table_of(testset, runs, metrics, protocol)
    made = iter(zip(table.rows, first_repetitions(runs), strict=True))
    rows: list[tuple[Row, Reading | None]] = []
    for name, of in chosen.items():
        label = printed.selections[name].label
        if not of:
            rows.append((_absent(printed, name, chosen, testset, metrics), None))
            continue
        groups = len(repeated(of))
        for _ in range(groups):
            row, run = next(made)
            row = _with_commands(row, metrics, testset, protocol)
            rows.append((replace(row, title=label) if groups == 1 else row, run))
    titled = replace(table, title=printed.source, rows=tuple(row for row, _ in rows))
    return with_published(titled, testset, [run for _, run in rows], [printed])


def _chosen(
    printed: PublishedTable, selection: Selection, testset: TestSet, runs: Sequence[Reading]
) -> list[Reading]:
    """Return the runs of a published row, preferring those with the published settings."""
    taken = [run for run in runs if selection.takes(run.spec.method, run.spec.settings)]
    if printed.conditions is None:
        return taken
    known = printed.conditions.settings_of(selection.method, testset.manifest.plan.kind)
    known = {name: v for name, v in known.items() if name not in selection.about}
    exact = [
        run
        for run in taken
        if all(run.spec.settings.get(name) == value for name, value in known.items())
    ]
    return exact or taken


def _absent(
    printed: PublishedTable,
    name: str,
    chosen: Mapping[str, Sequence[Reading]],
    testset: TestSet,
    metrics: Sequence[Measure],
) -> Row:
    """Return an empty row with the reason shared by all methods not run."""
    selection = printed.selections[name]
    if selection.method == name:
        plain = [n for n, s in printed.selections.items() if not chosen[n] and s.method == n]
        reason = f"Not run: `bench run {' '.join(plain)} --testset {testset.name}`."
    else:
        whole = printed.selections.get(selection.method, Selection(""))
        options = "".join(
            f" --set {selection.method}.{key}={_toml(value)}"
            for key, value in selection.settings.items()
            if whole.settings.get(key) != value
        )
        apart = {k: v for k, v in selection.unlike.items() if whole.unlike.get(k) != v}
        other = " and ".join(f"another {key} than {value}" for key, value in apart.items())
        condition = f", with {other}" if other else ""
        command = f"bench run {selection.method}{options} --testset {testset.name}"
        reason = f"Not run: `{command}`{condition}."
    missing = {metric.name: reason for metric in metrics}
    return Row(name, selection.label, {}, images_done=0, missing=missing)


def _with_commands(row: Row, metrics: Sequence[Measure], testset: TestSet, protocol: str) -> Row:
    """Add the command that measures a row's missing values."""
    lacking = [
        metric.name
        for metric in metrics
        if not (row.scores.get(metric.name) or row.undefined.get(metric.name))
        and metric.name not in (*row.whole, *row.missing)
    ]
    if not lacking:
        return row
    options = "".join(f" --metric {name}" for name in lacking)
    command = f"bench evaluate --testset {testset.name} --protocol {protocol}{options}"
    reason = f"Not measured: run `{command}`."
    return replace(row, missing={**row.missing, **dict.fromkeys(lacking, reason)})


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
