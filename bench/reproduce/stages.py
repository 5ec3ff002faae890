"""Stages of a reproduction: weights, training, test sets, references, runs, scores, tables."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from bench.api.references import reference_of
from bench.api.results import ResultTable, chosen_metrics, columns_of
from bench.api.testsets import prepare_scales, prepared_testsets
from bench.core.errors import BenchError
from bench.core.files import sha256, write_bytes
from bench.engine.experiment import Experiment, ResolvedMethod
from bench.engine.forecast import forecast_suite
from bench.engine.run import describe, run_suite
from bench.images import read_image
from bench.methods import configure
from bench.metrics import Measure
from bench.metrics.protocol import protocols
from bench.metrics.scoring.evaluate import score_runs
from bench.metrics.sets.reference_set import references
from bench.report.tables.collect import table_of
from bench.report.tables.paper import paper_table
from bench.report.tables.table import Table
from bench.reproduce.networks import find_trained, spacing, training, weights
from bench.reproduce.steps import Planned, PlannedRun, Request, Step
from bench.reproduce.suite import published_table
from bench.store.reading import Reading
from bench.store.run import Run
from bench.testsets.manifest import TestSet, open_testset
from bench.testsets.recipe import find_recipe

WIDTH = 6.875
"""Width of figures in inches, two columns."""


def reproduce(request: Request, dry_run: bool = False) -> Iterator[Step]:
    """Yield every step with its state, after running it unless `dry_run`.

    A failed step does not stop steps that do not depend on it. Finished steps are not repeated.

    Raises:
        BenchError: the suite is wrong, or a test set can't be opened.
    """
    stages: Sequence[Callable[[Request], Iterator[Step]]] = (
        weights,
        training,
        testsets,
        reference_sets,
        runs,
        scores,
        tables,
    )
    for stage in stages:
        for step in stage(request):
            if dry_run or step.perform is None:
                yield step
                continue
            try:
                yield step.perform()
            except BenchError as error:
                yield replace(step, state="failed", note=str(error), perform=None)


# --- Test sets -----------------------------------------------------------------------------------


def testsets(request: Request) -> Iterator[Step]:
    """Yield a step for each test set."""
    for planned, testset in _opened(request):
        yield _testset(request, planned, testset)


def _testset(request: Request, planned: Planned, testset: TestSet | None) -> Step:
    what = f"test set {planned.name}"

    def done(testset: TestSet) -> Step:
        manifest = testset.manifest
        return Step(what, "done", f"{len(manifest.images)} images", manifest.sha256)

    def prepare() -> Step:
        plan = planned.plan
        scales = [plan.scale] if plan.degradation == "bicubic" else None
        (made,) = prepare_scales(
            request.workspace,
            plan.recipe,
            planned.source,
            scales,
            plan.size,
            request.count,
            None if plan.degradation == "real" else plan.degradation,
            name=planned.name,
            noise=plan.noise,
            noise_unit=plan.noise_unit,
        )
        return done(made.testset)

    if testset is not None:
        return done(testset)
    if planned.source is None:
        option = f"--source {planned.plan.recipe}=DIR"
        return Step(what, "missing", f"give its images with {option}; origin: {planned.origin}")
    return Step(what, "to do", f"from {planned.source}", perform=prepare)


def _on_testsets(
    request: Request, what: str, make: Callable[[Request, Planned, TestSet, str], Step]
) -> Iterator[Step]:
    """Yield a step per test set; it is to do until the test set is prepared."""
    for planned, testset in _opened(request):
        name = f"{what} {planned.name}"
        yield make(request, planned, testset, name) if testset else _unprepared(name)


def _unprepared(what: str) -> Step:
    return Step(what, "to do", "after the test set is prepared")


def _opened(request: Request) -> Iterator[tuple[Planned, TestSet | None]]:
    """Yield the test sets of the suite; None for one that is not prepared yet."""
    there = prepared_testsets(request.here)
    for planned in request.testsets():
        folder = request.here.testsets / planned.name
        yield planned, open_testset(folder) if planned.name in there else None


def reference_sets(request: Request) -> Iterator[Step]:
    """Yield a step per reference set for FID of real-world images."""
    recipes = (
        find_recipe(planned.plan.recipe, request.here.datasets) for planned in request.testsets()
    )
    for name in dict.fromkeys(recipe.fid_reference for recipe in recipes):
        if name in references():
            yield Step(f"reference set {name}", "done")
        elif name is not None:
            action = f"give clean faces with `bench reference add {name} FOLDER`"
            yield Step(f"reference set {name}", "missing", action)


# --- Runs ----------------------------------------------------------------------------------------


def runs(request: Request) -> Iterator[Step]:
    """Yield a step for each method on each test set."""
    for planned, testset in _opened(request):
        for run in request.runs(planned):
            what = f"{run.label} on {planned.name}"
            yield _run(request, planned, testset, run, what) if testset else _unprepared(what)


def _run(request: Request, planned: Planned, testset: TestSet, run: PlannedRun, what: str) -> Step:
    try:
        resolved = _resolved(request, planned, testset, run)
    except BenchError as error:
        return Step(what, "left out" if request.options.embedded else "missing", str(error))
    experiment, made = resolved.experiment, resolved.run(resolved.spec())

    def restore() -> Step:
        (finished,) = run_suite([run.method], experiment)
        if finished.failed:
            raise BenchError(describe(run.method, finished.failed))
        return Step(what, "done", str(finished.run.folder), finished.run.spec.identity)

    if _complete(made, testset):
        return Step(what, "done", str(made.folder), made.spec.identity)
    cost = ""
    if request.options.forecast:
        (forecast,) = forecast_suite([run.method], replace(experiment, batch=1))
        if forecast.seconds is not None and forecast.calls is not None:
            hours, disk = forecast.seconds / 3600, forecast.disk / 2**20
            cost = f"{forecast.calls:,} NFE, {hours:.2g} h on this device, {disk:,.1f} MiB"
    return Step(what, "to do", cost, perform=restore)


def _resolved(
    request: Request, planned: Planned, testset: TestSet, run: PlannedRun
) -> ResolvedMethod:
    """Resolve a run's method with its settings and networks.

    Raises:
        BenchError: something is missing, with how to get it.
    """
    config, chosen = request.config, dict(request.config.weights)
    configured = configure(run.method, planned.plan.scale, request.size, run.settings)
    if "corrector" in configured.needs and "corrector" not in chosen:
        found = find_trained(request, "corrector", planned.plan.scale, spacing(configured))
        chosen["corrector"] = str(found)
    return Experiment(
        testset,
        request.here.results,
        settings=run.settings,
        weights=chosen,
        seed=config.seed,
        precision=config.precision,
        batch=config.batch,
    ).resolve(run.method)


def _complete(run: Run, testset: TestSet) -> bool:
    return len(run.records()) == len(testset.entries)


def _complete_runs(request: Request, planned: Planned, testset: TestSet) -> list[tuple[str, Run]]:
    """Return label and run of each complete run of the suite."""
    found = []
    for run in request.runs(planned):
        with suppress(BenchError):  # reported by its own step
            resolved = _resolved(request, planned, testset, run)
            made = resolved.run(resolved.spec())
            if _complete(made, testset):
                found.append((run.label, made))
    return found


# --- Scores and tables ---------------------------------------------------------------------------


def _columns(request: Request, testset: TestSet) -> list[Measure]:
    metrics = chosen_metrics(request.workspace, request.metrics)
    return columns_of(request.workspace, testset, metrics, request.suite.protocol)


def scores(request: Request) -> Iterator[Step]:
    """Yield a step for the scores on each test set."""
    return _on_testsets(request, "scores on", _scores)


def _scores(request: Request, planned: Planned, testset: TestSet, what: str) -> Step:
    columns = _columns(request, testset)
    absent = {m.title: why for m in columns if (why := m.unavailable()) is not None}
    usable = [measure for measure in columns if measure.title not in absent]
    keys = {part.key for measure in usable for part in measure.computed}
    note = "; ".join(f"without {title}: {reason}" for title, reason in absent.items())

    def measure() -> Step:
        metrics = chosen_metrics(request.workspace, request.metrics)
        measured = protocols(request.suite.protocol, planned.plan.recipe)
        reference = reference_of(request.workspace, testset, None)
        score_runs(testset, request.here.results, metrics, measured, reference=reference)
        return Step(what, "done", note)

    known = [run.scores() for _, run in _complete_runs(request, planned, testset)]
    if known and all(s is not None and keys <= set(s["identity"]) for s in known):
        return Step(what, "done", note)
    return Step(what, "to do", note, perform=measure)


def result_tables(request: Request) -> list[Table]:
    """Return the table of every prepared test set, with published values if there are any.

    A suite that draws a figure has no tables.
    """
    return [
        _table(request, testset, _complete_runs(request, planned, testset))
        for planned, testset in _opened(request)
        if testset and _makes_table(request)
    ]


def _makes_table(request: Request) -> bool:
    return published_table(request.suite) is not None or request.suite.output == "table"


def _table(request: Request, testset: TestSet, complete: Sequence[tuple[str, Run]]) -> Table:
    columns, protocol = _columns(request, testset), request.suite.protocol
    if printed := published_table(request.suite):
        return paper_table(printed, testset, request.here.results, columns, protocol)
    made = table_of(
        testset, [Reading(run.folder) for _, run in complete], columns, protocol, costs=True
    )
    return replace(made, title=request.suite.title)


def tables(request: Request) -> Iterator[Step]:
    """Yield a step for the files of the table or figure on each test set."""
    what = "table of" if _makes_table(request) else "figure of"
    return _on_testsets(request, what, _files)


def _files(request: Request, planned: Planned, testset: TestSet, what: str) -> Step:
    complete = _complete_runs(request, planned, testset)
    if not complete:
        return Step(what, "to do", "after a method has run")
    stem = request.here.results / "reproduced" / f"{request.name}-{planned.name}"
    contents = (
        _rendered(_table(request, testset, complete))
        if _makes_table(request)
        else _drawn(request, testset, complete)
    )
    files = {stem.with_name(f"{stem.name}.{suffix}"): data for suffix, data in contents.items()}
    first, *others = contents
    note = f"{stem}.{', .'.join([first, *others])}"
    done = Step(what, "done", note, sha256(contents[first]))

    def write() -> Step:
        for file, data in files.items():
            write_bytes(file, data)
        return done

    if all(file.is_file() and file.read_bytes() == data for file, data in files.items()):
        return done
    return Step(what, "to do", note, perform=write)


def _rendered(made: Table) -> dict[str, bytes]:
    """Return suffix -> file contents of a table."""
    table = ResultTable(made)
    texts = {"json": table.to_json(), "tex": table.to_latex(), "md": table.to_markdown()}
    return {suffix: text.encode() for suffix, text in texts.items()}


def _drawn(
    request: Request, testset: TestSet, complete: Sequence[tuple[str, Run]]
) -> dict[str, bytes]:
    """Return suffix -> file contents of a grid of faces: input, all runs, originals.

    Raises:
        BenchError: Matplotlib is not installed.
    """
    from bench.report.figures.canvas import drawing, encode, require
    from bench.report.figures.pictures import picture_grid

    require()
    images = list(testset.entries)[: request.suite.faces]
    columns = [("LR", tuple(testset.lr(image) for image in images))]
    for label, run in complete:
        columns.append((label, tuple(read_image(run.picture(image)) for image in images)))
    if testset.ground_truth:
        columns.append(("GT", tuple(testset.hr(image) for image in images)))
    with drawing():
        return {"pdf": encode(picture_grid(columns, width=WIDTH), ".pdf")}
