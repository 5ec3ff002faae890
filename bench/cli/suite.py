"""The commands of the product but the first: run, evaluate, report."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.cluster import CpusOption, GpusOption, PlaceOption, WorkersOption, opened
from bench.cli.shared import TestsetOption, open_testset_named, workspace
from bench.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.cluster import Cluster
    from bench.config import Weights, Workspace
    from bench.engine.work import Executor
    from bench.metrics import Measure
    from bench.parallel import Spread
    from bench.report import Table
    from bench.testset.manifest import TestSet


class Choice(StrEnum):
    """By which protocols results are measured."""

    STRICT = "strict"
    PAPER = "paper"
    BOTH = "both"


class Shown(StrEnum):
    """By which protocol a table's values were measured."""

    STRICT = "strict"
    PAPER = "paper"


class Format(StrEnum):
    """How a table is printed."""

    LATEX = "latex"
    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


ProtocolOption = Annotated[
    Choice, typer.Option("--protocol", help="strict, or the released scripts' for comparison.")
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="A metric; may be repeated. Else bench.toml's."),
]


def run(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; else bench.toml's.")] = None,
    on: TestsetOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as METHOD.NAME=VALUE; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images at a time.", min=1)] = None,
    prior: Annotated[str | None, typer.Option(help="Checkpoint of the prior.")] = None,
    corrector: Annotated[str | None, typer.Option(help="Checkpoint of the Corrector.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint of any network, as KIND=FILE; may be repeated."),
    ] = None,
    repeat: Annotated[int, typer.Option(help="Repetitions, each with noise of its own.", min=1)] = (
        1
    ),
    protocol: ProtocolOption = Choice.STRICT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first image that fails.")
    ] = False,
    place: PlaceOption = None,
    workers: WorkersOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
) -> None:
    """Run methods on a test set and score their results; what is done already is kept.

    An image that a method fails on is recorded with the reason and the rest goes on; the same
    command tries it again.
    """
    from bench.engine.run import describe, run_suite

    here = workspace()
    config = here.config
    metrics = _metrics(here)  # an unknown one is to be found before the work
    machines = opened(place, workers, cpus_per_worker, gpus_per_worker)
    testset = open_testset_named(here, on)
    with machines as cluster:
        finished = run_suite(
            names=tuple(methods or config.methods),
            settings=_merged(config.settings, changes or []),
            testset=testset,
            results=here.results,
            weights=_chosen(config.weights, weights or [], prior=prior, corrector=corrector),
            seed=config.seed if seed is None else seed,
            batch=batch or config.batch,
            repetitions=repeat,
            strict=strict,
            executor=_executor(cluster),
        )
    for item in finished:
        done = f"{item.restored} images restored" if item.restored else "was done already"
        if item.failed:
            done = f"{item.restored} images restored, {len(item.failed)} failed"
        typer.echo(f"{item.run.spec.method}: {done}, in {item.run.folder}")
    _score(here, testset, metrics, protocol)
    typer.echo("`bench report` prints the table.")
    lost = [describe(item.run.spec.method, item.failed) for item in finished if item.failed]
    if lost:
        raise BenchError(f"{' '.join(lost)} The same command tries them again.")


def evaluate(
    on: TestsetOption = None,
    protocol: ProtocolOption = Choice.STRICT,
    names: MetricOption = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail where a metric can't be computed.")
    ] = False,
    place: PlaceOption = None,
    workers: WorkersOption = None,
) -> None:
    """Score every result on a test set by the metrics that it lacks."""
    machines = opened(place, workers)
    here = workspace()
    metrics = _metrics(here, names)
    testset = open_testset_named(here, on)
    if require_all and (reasons := _reasons(testset, metrics, protocol)):
        raise BenchError(" ".join(reasons))
    with machines as cluster:
        _score(here, testset, metrics, protocol, cluster.map if cluster else None)


def report(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; else all.")] = None,
    on: TestsetOption = None,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Every number at full precision.")] = False,
    strip: Annotated[
        Path | None, typer.Option(help="Also save a strip of faces, LR to GT, as PNG.")
    ] = None,
    faces: Annotated[int, typer.Option(help="Faces in the strip.", min=1)] = 6,
    protocol: Annotated[Shown, typer.Option(help="By which it was measured.")] = Shown.STRICT,
    names: MetricOption = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Add seconds, network calls and peak memory.")
    ] = False,
) -> None:
    """Print the table of a test set's results, with best and second best marked."""
    from bench.files import write_bytes
    from bench.images import encode_png
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report import collect

    here = workspace()
    flags = dict(zip(Format, (latex, csv, markdown, json), strict=True))
    chosen = [kind for kind, wanted in flags.items() if wanted]
    if len(chosen) > 1:
        raise WrongUsage(f"--{chosen[0]} and --{chosen[1]} exclude each other: choose one.")
    metrics = _metrics(here, names)
    testset = open_testset_named(here, on)
    runs = collect.find_runs(testset, here.results, methods or (), here.config.methods)
    columns = as_measured(metrics, testset, protocols(protocol, testset.manifest.plan.recipe))
    table = collect.table_of(testset, runs, columns, protocol, costs)
    _print(table, chosen[0] if chosen else None)
    if strip:
        write_bytes(strip, encode_png(collect.strip_of(testset, runs, faces)))
        typer.echo(f"Saved {strip}", err=True)


def _executor(cluster: Cluster | None) -> Executor | None:
    if cluster is None:
        return None
    from bench.engine.cluster import OnCluster

    return OnCluster(cluster)


def _metrics(here: Workspace, names: Sequence[str] | None = None) -> list[Measure]:
    """The metrics of these names, or those that bench.toml names.

    Raises:
        WrongUsage: there is no such metric.
    """
    from bench import metrics
    from bench.metrics.recognition import configured

    own = configured(here.config.recognition, f"{here.config_file}.recognition")
    return [own.get(name) or metrics.find_measure(name) for name in names or here.config.metrics]


def _reasons(testset: TestSet, metrics: Sequence[Measure], protocol: Choice) -> list[str]:
    """A sentence for each reason for which metrics can't be computed here."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import as_measured
    from bench.report.collect import impossible

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    titles: dict[str, dict[str, None]] = {}
    for metric in as_measured(metrics, testset, chosen):
        if reason := impossible(metric, testset):
            titles.setdefault(reason, {})[metric.title] = None
    return [f"No {', '.join(lost)}: {reason}" for reason, lost in titles.items()]


def _score(
    here: Workspace,
    testset: TestSet,
    metrics: Sequence[Measure],
    protocol: Choice,
    spread: Spread | None = None,
) -> None:
    """Score all runs on a test set; say which metrics can't be computed here."""
    from bench.metrics.protocol import protocols
    from bench.metrics.scoring import score_runs

    chosen = protocols(protocol, testset.manifest.plan.recipe)
    score_runs(testset, here.results, metrics, chosen, spread)
    for reason in _reasons(testset, metrics, protocol):
        typer.echo(reason, err=True)


def _merged(
    settings: Mapping[str, Mapping[str, Any]], changes: list[str]
) -> dict[str, dict[str, Any]]:
    """bench.toml's settings with those of --set, whose values are read as TOML.

    Raises:
        WrongUsage: a change that is not METHOD.NAME=VALUE.
    """
    merged = {method: dict(values) for method, values in settings.items()}
    for change in changes:
        target, equals, text = change.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise WrongUsage(f"--set {change} is not of the form METHOD.NAME=VALUE.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text  # a bare word is a text
        merged.setdefault(method, {})[name] = value
    return merged


def _chosen(weights: Weights, choices: list[str], **options: str | None) -> Weights:
    """bench.toml's checkpoints, with those of the options and of --weights in their place.

    Raises:
        WrongUsage: a choice that is not KIND=FILE, or an unknown kind.
    """
    from bench.typed import override

    chosen = {kind: file for kind, file in options.items() if file}
    for choice in choices:
        kind, equals, file = choice.partition("=")
        if not (equals and kind and file):
            raise WrongUsage(f"--weights {choice} is not of the form KIND=FILE.")
        chosen[kind] = file
    return override(weights, chosen, "--weights")


def _print(table: Table, kind: Format | None) -> None:
    from rich.console import Console

    from bench import report

    if kind is None:
        console = Console()
        console.print(report.to_terminal(table, styled=console.is_terminal), soft_wrap=True)
        return
    render = {
        Format.LATEX: report.to_latex,
        Format.CSV: report.to_csv,
        Format.MARKDOWN: report.to_markdown,
        Format.JSON: report.to_json,
    }
    typer.echo(render[kind](table), nl=False)
