"""Command line: parse, call the API, print. Heavy imports are deferred."""

from __future__ import annotations

import errno
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from bench.cli import (
    data,
    figure,
    init,
    inspect,
    methods,
    reference,
    report,
    reproduce,
    sharing,
    suite,
    sweep,
    train,
    weights,
)
from bench.cli.shared import ManyValues, echo, flag, say
from bench.core.errors import BenchError, Terminated, WrongUsage
from bench.core.terminal import fall_back_to_ascii

# Typer raises this on a command line that it can't parse, but does not export it.
UsageError: Any = typer.BadParameter.__mro__[1]


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, which keeps finished work; only in the main thread."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: Exception) -> str:
    """Return an exception's message in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'} can't be used: {error.strerror}."
    if isinstance(error, UsageError):
        context: Any = getattr(error, "ctx", None)
        words = ["bench", *(context.command_path.split()[1:] if context else []), "--help"]
        said = error.format_message().rstrip(" .")
        return f"{said}{'' if said.endswith('?') else '.'} Usage: see `{' '.join(words)}`."
    return str(error)


def _tell(error: Exception, debug: bool = False) -> None:
    """Print an error, unless it is the help text, which is raised again."""
    if type(error).__name__ == "NoArgsIsHelpError":
        raise error
    if debug:
        traceback.print_exc()
    say(f"error: {_sentence(error)}", fg="red", err=True)


class Commands(TyperGroup):
    """Turns errors into one sentence and an exit code: 1 failed, 2 wrong usage."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        fall_back_to_ascii()
        return super().main(*arguments, **options)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().make_context(*arguments, **options)
        except UsageError as error:  # an option before the command
            _tell(error)
            raise typer.Exit(2) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except (BenchError, OSError, UsageError) as error:  # OSError: a full disk, no permission
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # a closed pipe, on which typer exits quietly
            _tell(error, ctx.params.get("debug"))
            raise typer.Exit(2 if isinstance(error, WrongUsage | UsageError) else 1) from None
        except KeyboardInterrupt as stop:
            echo("Stopped. Finished work is kept; run the same command to resume.", err=True)
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())
            say(
                f"error: bench has a bug ({what}). Run `bench --debug ...` for the traceback and "
                "report it.",
                fg="red",
                err=True,
            )
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Measure face super-resolution: prepare a test set, run methods, report tables.",
    epilog="The three commands: `bench prepare celeba --scale 16 --source DIR`, "
    "`bench run dpi ilvr ddnm`, `bench report --latex`.",
)


@app.callback()
def options(
    debug: Annotated[bool, flag("--debug", "Show the traceback of an error.")] = False,
) -> None:
    """Handle the options of all commands."""


BENCHMARK, EXPLORE, SHARE, EXTEND, INSPECT = "Benchmark", "Explore", "Share", "Extend", "Inspect"
"""Panels of `bench --help`."""


def _add(
    to: typer.Typer,
    panel: str,
    function: Callable[..., None],
    example: str,
    name: str | None = None,
    cls: type[TyperCommand] | None = None,
) -> None:
    """Add a command with an example, which the tests execute."""
    words = f"Example: `bench {example}`"
    to.command(name, cls=cls, epilog=words, rich_help_panel=panel)(function)


_add(app, BENCHMARK, init.init, "init --embedded")
_add(app, BENCHMARK, data.prepare, "prepare celeba --scale 4 8 16 --source photos/", cls=ManyValues)
_add(app, BENCHMARK, suite.run, "run dpi ilvr ddnm --set dpi.steps=100")
_add(app, BENCHMARK, suite.evaluate, "evaluate --testset sample-64-x8")
_add(app, BENCHMARK, report.report, "report --latex > table.tex")
_add(app, BENCHMARK, reproduce.reproduce, "reproduce table1 --embedded --dry-run", cls=ManyValues)
_add(
    app, EXPLORE, sweep.sweep, "sweep dpi --tau 0 100 300 500 --s 1 1.2 1.4", cls=sweep.ManySettings
)
_add(app, EXPLORE, data.sheet, "sheet faces.png --testset sample-64-x8")
_add(app, EXPLORE, suite.plan, "plan dpi ilvr ddnm")
_add(app, EXPLORE, sharing.compare, "compare ours.tar theirs.tar")
_add(app, SHARE, sharing.export, "export bicubic ddnm --out results.tar")
_add(app, SHARE, data.verify, "verify sample-64-x8")
_add(app, SHARE, methods.import_results, "import gfpgan results/gfpgan --title GFPGAN", "import")
_add(app, EXTEND, methods.new_method, "new-method my-method")
_add(app, EXTEND, methods.check_method, "check-method my-method")
_add(app, EXTEND, methods.oracle, "oracle ddrm --set ddrm.steps=20")
_add(app, INSPECT, methods.methods, "methods")
_add(app, INSPECT, inspect.doctor, "doctor")

figures = typer.Typer(no_args_is_help=True, help="Draw figures for papers, as PDF or PNG.")
_add(figures, EXPLORE, figure.grid, "figure grid bicubic ddnm dpi --out faces.pdf")
_add(figures, EXPLORE, figure.tradeoff, "figure tradeoff dpi --out tradeoff.pdf")
_add(figures, EXPLORE, figure.conditions, "figure conditions --out conditions.pdf")
_add(figures, EXPLORE, figure.pareto, "figure pareto --metric psnr --out pareto.pdf")
_add(figures, EXPLORE, figure.scatter, "figure scatter ddnm dpi --out scatter.pdf")
app.add_typer(figures, name="figure", rich_help_panel=EXPLORE)

recipes = typer.Typer(invoke_without_command=True)
recipes.callback(epilog="Example: `bench datasets`")(data.datasets)
_add(recipes, INSPECT, data.datasets_add, "datasets add mine photos/", "add")
app.add_typer(recipes, name="datasets", rich_help_panel=INSPECT)

training = typer.Typer(no_args_is_help=True, help="Train a prior, a Corrector or SR3.")
_add(training, EXTEND, train.prior, "train prior --size 64 --data faces.zip --out prior")
_add(training, EXTEND, train.crt, "train crt --scale 8 --data faces.zip --out corrector")
_add(training, EXTEND, train.sr3, "train sr3 --scale 8 --data faces.zip --out sr3")
_add(training, EXTEND, train.again, "train again prior.safetensors --data faces.zip --out again")
app.add_typer(training, name="train", rich_help_panel=EXTEND)

checkpoints = typer.Typer(no_args_is_help=True, help="List, download, add and verify weights.")
_add(checkpoints, INSPECT, weights.show, "weights list codeformer", "list")
_add(checkpoints, INSPECT, weights.get, "weights get prior-256", "get")
_add(checkpoints, INSPECT, weights.add, "weights add prior-256 ffhq_10m.pt", "add")
_add(
    checkpoints,
    INSPECT,
    weights.convert,
    "weights convert adm-128.pt --size 128 --out adm-128.safetensors",
    "convert",
)
_add(checkpoints, INSPECT, weights.verify, "weights verify", "verify")
app.add_typer(checkpoints, name="weights", rich_help_panel=INSPECT)

references = typer.Typer(no_args_is_help=True, help="Reference sets for FID and other distances.")
_add(references, INSPECT, reference.add, "reference add ffhq photos/", "add")
_add(references, INSPECT, reference.show, "reference list", "list")
app.add_typer(references, name="reference", rich_help_panel=INSPECT)

external = typer.Typer(no_args_is_help=True, help="Install the external programs of methods.")
_add(external, EXTEND, methods.external_setup, "external setup vqfr", "setup")
app.add_typer(external, name="external", rich_help_panel=EXTEND)
