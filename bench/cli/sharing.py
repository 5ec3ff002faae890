"""Commands that share results: export, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.shared import TestsetOption, echo, flag, open_testset_named, say, workspace
from bench.core.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.core.config import Workspace
    from bench.metrics import Measure
    from bench.sharing.results import Result


def export(
    out: Annotated[Path, typer.Option("--out", help="Archive to write (.tar).")],
    methods: Annotated[list[str] | None, typer.Argument(help="Methods (default: all).")] = None,
    testset_name: TestsetOption = None,
    pictures: Annotated[bool, flag("--pictures", "Include the restored images.")] = False,
) -> None:
    """Pack results into one archive.

    It holds the table, scores, provenance and hashes, but not the images of the test set.
    """
    from bench.api.results import chosen_metrics, collected, columns_of
    from bench.report.renderers.plain import to_csv, to_json, to_markdown
    from bench.report.tables.runs import find_runs
    from bench.sharing.bundle import write_bundle
    from bench.sharing.export import export_files

    if out.suffix != ".tar":
        raise WrongUsage(f"--out {out} is not a .tar file: use {out.stem}.tar.")
    here = workspace()
    testset = open_testset_named(here, testset_name)
    runs = find_runs(testset, here.results, methods or (), here.config.methods)
    columns = columns_of(here, testset, chosen_metrics(here), "strict")
    table = collected(testset, runs, columns, "strict", costs=True)
    texts = [to_json(table), to_csv(table), to_markdown(table, intervals=True)]
    files = export_files(testset, runs, texts, pictures)
    write_bundle(out, files)
    size = out.stat().st_size / 2**20
    what = f"{len(runs)} run{'s' if len(runs) > 1 else ''} on {testset.name}"
    say(f"Packed {what} into {out} ({len(files)} files, {size:.1f} MiB): `bench verify {out}`.")


def compare(
    one: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Archive, results folder or run; ARCHIVE:RUN selects a run."
        ),
    ],
    other: Annotated[
        str, typer.Argument(metavar="B", help="Archive, results folder or run to compare with.")
    ],
    testset_name: TestsetOption = None,
    markdown: Annotated[bool, flag("--markdown", "Print Markdown tables.")] = False,
    json: Annotated[bool, flag("--json", "Print JSON with full precision.")] = False,
) -> None:
    """Compare two results: configuration differences and paired per-image score differences.

    If a side has several results, matching ones are compared.
    """
    from rich.console import Console

    from bench.sharing import side_by_side
    from bench.sharing.compare import compare as set_beside
    from bench.sharing.results import pairs

    if markdown and json:
        raise WrongUsage("--markdown and --json exclude each other: choose one.")
    here = workspace()
    found, alone = pairs(*(_results_called(name, here, testset_name) for name in (one, other)))
    comparisons = [set_beside(a, b, _metrics(here, a)) for a, b in found]
    if json or markdown:
        to = side_by_side.comparisons_to_json if json else side_by_side.comparisons_to_markdown
        echo(to(comparisons, alone), nl=False)
    else:
        drawn = side_by_side.comparisons_to_terminal(comparisons, alone)
        Console().print(drawn, soft_wrap=True)


def _results_called(name: str, here: Workspace, testset_name: str | None) -> list[Result]:
    """Resolve an argument to results: an archive or folder, optionally with :RUN, or a run.

    Raises:
        BenchError: nothing matches, or it cannot be read.
    """
    from bench.report.tables.runs import find_runs
    from bench.sharing.bundle import open_bundle
    from bench.sharing.results import bundle_results, choose, folder_result
    from bench.store.run import runs_within

    place, run = Path(name), ""
    if not place.exists() and ":" in name:
        before, _, run = name.rpartition(":")
        place = Path(before)
    if place.is_file():
        results = bundle_results(open_bundle(place))
        if not results:
            raise BenchError(
                f"{place} holds no results: `bench verify {place}` says what it holds."
            )
    else:
        runs = runs_within(place) if place.is_dir() else []
        results = [folder_result(found, here.testsets) for found in runs]
    if results:
        return choose(results, run, str(place)) if run else results
    if place.suffix == ".tar" and not place.exists():
        raise WrongUsage(f"{place} does not exist: give an archive that `bench export` wrote.")
    testset = open_testset_named(here, testset_name)
    named = find_runs(testset, here.results, (name,), ())
    return [folder_result(found, here.testsets) for found in named]


def _metrics(here: Workspace, result: Result) -> Sequence[Measure]:
    """Return all measured columns, configured for a result's test set."""
    from bench import metrics
    from bench.metrics.recognition import configured

    own = configured(here.config.recognition, f"{here.config_file}.recognition")
    known = {**metrics.all_metrics(), **own}
    if result.manifest is None:
        return list(known.values())
    plan = result.manifest.plan
    adapted = (metric.of_testset(plan.recipe, plan.degradation) for metric in known.values())
    return [metric for metric in adapted if not metric.parts]
