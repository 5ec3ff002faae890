"""The command line: parse, delegate, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import errno
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bench.cli import (
    data,
    figure,
    inspect,
    methods,
    plan,
    report,
    sharing,
    suite,
    sweep,
    train,
    weights,
)
from bench.cli.shared import ManyValues, say
from bench.errors import BenchError, Terminated, WrongUsage

# What typer raises of a command line that it can't parse, and does not export.
UsageError: Any = typer.BadParameter.__mro__[1]


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, with what is done kept; not in a thread."""

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
    """What to tell of an error that is not our own, too."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'} can't be used: {error.strerror}."
    if isinstance(error, UsageError):
        context: Any = getattr(error, "ctx", None)
        words = ["bench", *(context.command_path.split()[1:] if context else []), "--help"]
        said = error.format_message().rstrip(" .")
        return f"{said}{'' if said.endswith('?') else '.'} Usage: see `{' '.join(words)}`."
    return str(error)


class Commands(TyperGroup):
    """Turns our errors into one sentence and an exit code: 1 failed, 2 wrong usage."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().make_context(*arguments, **options)
        except UsageError as error:  # an option before the command
            if type(error).__name__ == "NoArgsIsHelpError":
                raise  # it holds the help
            say(f"error: {_sentence(error)}", fg="red", err=True)
            raise typer.Exit(2) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except (BenchError, OSError, UsageError) as error:  # OSError: a full disk, no permission
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of a pipe has enough, which typer knows to end quietly
            if type(error).__name__ == "NoArgsIsHelpError":
                raise  # it holds the help
            if ctx.params.get("debug"):
                traceback.print_exc()
            say(f"error: {_sentence(error)}", fg="red", err=True)
            raise typer.Exit(2 if isinstance(error, WrongUsage | UsageError) else 1) from None
        except KeyboardInterrupt as stop:
            typer.echo("Stopped. What is done is kept; the same command goes on.", err=True)
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None


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
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""


def _example(text: str) -> str:
    return f"Example: `{text}`"


app.command(
    cls=ManyValues, epilog=_example("bench prepare celeba --scale 4 8 16 --source photos/")
)(data.prepare)
app.command(epilog=_example("bench run dpi ilvr ddnm --set dpi.steps=100"))(suite.run)
app.command(
    cls=sweep.ManySettings, epilog=_example("bench sweep dpi --tau 0 100 300 500 --s 1 1.2 1.4")
)(sweep.sweep)
app.command(epilog=_example("bench plan dpi ilvr ddnm"))(plan.plan)
app.command(epilog=_example("bench evaluate --testset sample-64-x8"))(suite.evaluate)
app.command(epilog=_example("bench report --latex > table.tex"))(report.report)
app.command(epilog=_example("bench export bicubic ddnm --out results.tar"))(sharing.export)
app.command(epilog=_example("bench compare ours.tar theirs.tar"))(sharing.compare)
app.command("import", epilog=_example("bench import gfpgan results/gfpgan --title GFPGAN"))(
    methods.import_results
)
app.command(epilog=_example("bench methods"))(methods.methods)
app.command(epilog=_example("bench new-method my-method"))(methods.new_method)
app.command(epilog=_example("bench check-method my-method"))(methods.check_method)
app.command(epilog=_example("bench verify sample-64-x8"))(data.verify)
app.command(epilog=_example("bench sheet faces.png --testset sample-64-x8"))(data.sheet)
app.command(epilog=_example("bench doctor"))(inspect.doctor)

figures = typer.Typer(no_args_is_help=True, help="Draw figures for papers, as PDF or PNG.")
figures.command(epilog=_example("bench figure grid bicubic ddnm dpi --out faces.pdf"))(figure.grid)
figures.command(epilog=_example("bench figure tradeoff dpi --out tradeoff.pdf"))(figure.tradeoff)
figures.command(epilog=_example("bench figure conditions --out conditions.pdf"))(figure.conditions)
figures.command(epilog=_example("bench figure pareto --metric psnr --out pareto.pdf"))(
    figure.pareto
)
figures.command(epilog=_example("bench figure scatter ddnm dpi --out scatter.pdf"))(figure.scatter)
app.add_typer(figures, name="figure")

recipes = typer.Typer(invoke_without_command=True)
recipes.callback(epilog=_example("bench datasets"))(data.datasets)
recipes.command("add", epilog=_example("bench datasets add mine photos/"))(data.datasets_add)
app.add_typer(recipes, name="datasets")

training = typer.Typer(no_args_is_help=True, help="Train a prior, a Corrector or SR3.")
training.command(epilog=_example("bench train prior --size 64 --data faces.zip --out prior"))(
    train.prior
)
training.command(epilog=_example("bench train crt --scale 8 --data faces.zip --out corrector"))(
    train.crt
)
training.command(epilog=_example("bench train sr3 --scale 8 --data faces.zip --out sr3"))(train.sr3)
app.add_typer(training, name="train")

checkpoints = typer.Typer(no_args_is_help=True, help="List, fetch, add and verify weights.")
checkpoints.command("list", epilog=_example("bench weights list codeformer"))(weights.show)
checkpoints.command("get", epilog=_example("bench weights get prior-256"))(weights.get)
checkpoints.command("add", epilog=_example("bench weights add prior-256 ffhq_10m.pt"))(weights.add)
checkpoints.command("verify", epilog=_example("bench weights verify"))(weights.verify)
app.add_typer(checkpoints, name="weights")

external = typer.Typer(no_args_is_help=True, help="Set up programs of others that methods run.")
external.command("setup", epilog=_example("bench external setup vqfr"))(methods.external_setup)
app.add_typer(external, name="external")
