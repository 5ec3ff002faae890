"""Commands that draw figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import CorrectorOption, ExperimentOptions, PriorOption, SeedOption
from bench.cli.report import Shown, ShownOption
from bench.cli.shared import TestsetOption, echo, flag, open_testset_named, say, workspace
from bench.core.errors import WrongUsage
from bench.core.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from bench.core.config import Workspace
    from bench.report.figures.gather import MeasuredRun
    from bench.report.figures.pictures import Zoom
    from bench.report.tables.table import Column
    from bench.testsets.manifest import TestSet

MethodsArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Methods, or run folders such as dpi-1a2b3c (default: all)."),
]
OutOption = Annotated[Path, typer.Option("--out", help="File to write (.pdf or .png).")]
WidthOption = Annotated[
    float | None,
    typer.Option(
        "--width", help="Width in inches (default: 3.25, one column of two).", min=1.0, max=40.0
    ),
]
ImagesOption = Annotated[
    list[str] | None, typer.Option("--image", help="Image ID; may be repeated.")
]
FacesOption = Annotated[int, typer.Option("--faces", help="Number of faces.", min=1)]


def grid(
    out: OutOption,
    methods: MethodsArgument = None,
    testset_name: TestsetOption = None,
    faces: FacesOption = 4,
    images: ImagesOption = None,
    zoom: Annotated[
        str,
        typer.Option(
            help=(
                "Enlarged region: LEFT,TOP,SIDE as fractions of the image, 'different' "
                "(where methods differ most) or 'none'."
            )
        ),
    ] = "different",
    width: WidthOption = None,
) -> None:
    """Draw a grid of faces with an enlarged region.

    Columns are the input, the methods and the original.
    """
    from bench.report.figures.pictures import picture_grid
    from bench.report.tables.collect import picture_columns
    from bench.report.tables.runs import find_runs, first_repetitions

    part = _zoom(zoom)
    here, testset = _ready(out, testset_name)
    chosen = _faces(testset, images, faces)
    runs = find_runs(testset, here.results, methods or (), here.config.methods)
    columns = picture_columns(testset, first_repetitions(runs), chosen)
    _save(out, lambda: picture_grid(columns, width, part))


def pareto(
    out: OutOption,
    methods: MethodsArgument = None,
    testset_name: TestsetOption = None,
    metric: Annotated[str, typer.Option(help="Quality metric.")] = "lpips-alex",
    cost: Annotated[
        Literal["seconds", "nfe"], typer.Option(help="Cost on the x axis: seconds or nfe.")
    ] = "seconds",
    join: Annotated[
        bool, flag("--join", "Join the runs of each method, such as a sweep's.")
    ] = False,
    protocol: ShownOption = "strict",
    width: WidthOption = None,
) -> None:
    """Draw quality against cost, with the Pareto front."""
    from bench.report.figures.gather import between, by_method
    from bench.report.figures.points import curves, pareto

    here, testset = _ready(out, testset_name)
    results, columns = _results(here, testset, methods or (), [metric], protocol)
    name = {"seconds": "seconds", "nfe": "evaluations"}[cost]
    placed, absent = between(results, name, metric, positive=True)
    _tell(absent)
    quality, paid = columns[metric], columns[name]
    if join:
        _save(out, lambda: curves(by_method(placed), quality, paid, width))
    else:
        _save(out, lambda: pareto([point for _, point in placed], quality, paid, width))


def scatter(
    one: Annotated[str, typer.Argument(help="Method or run folder for the x axis.")],
    other: Annotated[str, typer.Argument(help="Method or run folder for the y axis.")],
    out: OutOption,
    testset_name: TestsetOption = None,
    metric: Annotated[str, typer.Option(help="Per-image metric to compare.")] = "lpips-alex",
    protocol: ShownOption = "strict",
    width: WidthOption = None,
) -> None:
    """Draw two methods against each other, image by image.

    The figure shows on how many images each method is better.
    """
    from bench.report.figures.gather import pairs_of
    from bench.report.figures.points import scatter

    here, testset = _ready(out, testset_name)
    results, columns = _results(here, testset, [one, other], [metric], protocol)
    pairs = pairs_of(results, columns[metric])
    across, up = (result.label for result in results)
    _save(out, lambda: scatter(pairs, (across, up), columns[metric], width))


def tradeoff(
    out: OutOption,
    method: Annotated[str, typer.Argument(help="Method of the sweep.")] = "dpi",
    testset_name: TestsetOption = None,
    x: Annotated[str, typer.Option(help="Metric on the x axis.")] = "lr-psnr",
    y: Annotated[
        str, typer.Option(help="Metric on the y axis; diversity needs `--repeat 2`.")
    ] = "diversity",
    image: Annotated[
        str | None, typer.Option(help="ID of the image to show (default: the first).")
    ] = None,
    protocol: ShownOption = "strict",
    width: WidthOption = None,
) -> None:
    """Draw two metrics of a sweep against each other.

    Below the curves, one face is shown for each value.
    """
    from bench.report.figures.gather import between, swept_run
    from bench.report.figures.tradeoff import tradeoff

    here, testset = _ready(out, testset_name)
    (face,) = _faces(testset, image and [image], 1)
    results, columns = _results(here, testset, [method], [x, y], protocol)
    placed, absent = between(results, x, y)
    _tell(absent)
    runs = [swept_run(result, place, face) for result, place in placed]
    _save(out, lambda: tradeoff(runs, columns[x], columns[y], width))


def conditions(
    out: OutOption,
    testset_name: TestsetOption = None,
    timesteps: Annotated[
        list[int] | None,
        typer.Option("--t", help="Timestep out of 1000; may be repeated (default: 500 and 50)."),
    ] = None,
    faces: FacesOption = 3,
    images: ImagesOption = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Setting as dpi.NAME=VALUE; may be repeated.")
    ] = None,
    seed: SeedOption = None,
    prior: PriorOption = None,
    corrector: CorrectorOption = None,
    width: WidthOption = None,
) -> None:
    """Run DPI and draw its condition at several timesteps."""
    from bench.engine.dpi_trace import trace_conditions
    from bench.report.figures.pictures import picture_grid

    here, testset = _ready(out, testset_name)
    chosen = _faces(testset, images, faces)
    options = ExperimentOptions(changes, seed, prior=prior, corrector=corrector)
    kept = trace_conditions(options.on(here, testset), chosen, timesteps or (500, 50))
    columns = [(_condition(state.t, first=state is kept[0]), state.pictures) for state in kept]
    if testset.ground_truth:
        columns.append(("GT", tuple(testset.hr(image) for image in chosen)))
    _save(out, lambda: picture_grid(columns, width, math=True))


def _condition(t: int, first: bool) -> str:
    """Return the paper's symbol for a condition."""
    return "$y_T$" if first else f"$y_{{{t}}}$" if t else "$x_0$"


def _ready(out: Path, testset_name: str | None) -> tuple[Workspace, TestSet]:
    """Check that a figure can be drawn and saved, and return the workspace and the test set."""
    from bench.report.figures.canvas import check_name, require

    check_name(out)
    require()
    here = workspace()
    return here, open_testset_named(here, testset_name)


def _results(
    here: Workspace, testset: TestSet, methods: Sequence[str], names: list[str], protocol: Shown
) -> tuple[list[MeasuredRun], dict[str, Column]]:
    """Return the measured runs with their repetitions, and the columns by name."""
    from bench.api.results import chosen_metrics, columns_of
    from bench.report.figures.gather import results_of
    from bench.report.tables.runs import find_runs

    metrics = chosen_metrics(here, names)
    runs = find_runs(testset, here.results, methods, here.config.methods)
    measures = columns_of(here, testset, metrics, protocol)
    return results_of(testset, runs, measures, protocol)


def _faces(testset: TestSet, images: Sequence[str] | None, count: int) -> list[str]:
    """Return the ids of these faces, or of the first ones.

    Raises:
        WrongUsage: the test set has no such face.
    """
    there = list(testset.entries)
    for image in images or ():
        if image not in there:
            hint = suggestion(image, there, f"the first is {there[0]!r}.")
            raise WrongUsage(f"{testset.name} has no image {image!r}: {hint}")
    return list(images) if images else there[:count]


def _zoom(text: str) -> Zoom:
    """Parse --zoom.

    Raises:
        WrongUsage: it is not different, none, or LEFT,TOP,SIDE.
    """
    from bench.report.figures.pictures import Part

    if text == "none":
        return None
    if text == "different":
        return "different"
    try:
        left, top, side = (float(part) for part in text.split(","))
    except ValueError:
        left = top = side = -1.0
    if not (left >= 0 and top >= 0 and side > 0 and max(left, top) + side <= 1):
        raise WrongUsage(
            f"--zoom {text} is neither different, none, nor LEFT,TOP,SIDE as fractions of the "
            "picture, such as 0.2,0.3,0.25."
        )
    return Part(left, top, side)


def _tell(absent: Sequence[str]) -> None:
    for sentence in absent:
        echo(sentence, err=True)


def _save(out: Path, draw: Callable[[], Figure]) -> None:
    from bench.core.files import write_bytes
    from bench.report.figures.canvas import drawing, encode

    with drawing():
        write_bytes(out, encode(draw(), out.suffix))
    say(f"Saved {out}", err=True)
