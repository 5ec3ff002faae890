"""The command line: help, wrong usage, and what it must not import."""

import inspect
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bench.cli import app
from bench.cli.options import ExperimentOptions, WorkerOptions
from tests.command import bench, good
from tests.small import photos


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own, which is the current folder, and an empty cache."""
    # New processes start there, and are to import this checkout.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\nmethods = ["bicubic"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def leaves(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below one, with the words that call it."""
    if not hasattr(command, "commands"):
        yield names, command
    else:
        for name, below in command.commands.items():
            yield from leaves(below, *names, name)


RUNNING = ("run", "plan", "sweep")
COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    assert {" ".join(words) for words in COMMANDS} == {
        *("prepare", "run", "plan", "sweep", "evaluate", "report", "methods"),
        *("verify", "sheet", "doctor", "export", "compare"),
        *("datasets add",),  # and `datasets` itself, which lists them
        *("import", "new-method", "check-method", "external setup"),
        *(f"figure {name}" for name in ("grid", "tradeoff", "conditions", "pareto", "scatter")),
        *("train prior", "train crt", "train sr3", "train again"),
        *("reference add", "reference list"),
        *(f"weights {name}" for name in ("list", "get", "add", "convert", "verify")),
        *("init", "reproduce", "oracle"),
    }


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_it_understands(words: tuple[str, ...]) -> None:
    text = good(*words, "--help").out
    assert f"Usage: bench {' '.join(words)} " in text.replace("root", "bench")
    (line,) = [line for line in text.splitlines() if line.strip().startswith("Example: ")]
    example = line.strip().removeprefix("Example: ").split(" > ")[0]
    program, *arguments = shlex.split(example)
    assert program == "bench"
    assert tuple(arguments[: len(words)]) == words
    COMMANDS[words].make_context("x", arguments[len(words) :])  # refuses unknown options


def test_no_help_is_empty() -> None:
    for words, command in COMMANDS.items():
        assert command.help, words
        for parameter in command.params:
            assert parameter.help, (words, parameter.name)


def test_what_is_planned_or_swept_has_the_options_of_what_is_run() -> None:
    shared = {*inspect.signature(ExperimentOptions).parameters, "precision", "compiled"}
    cluster = {*inspect.signature(WorkerOptions).parameters}
    assert cluster == {"place", "workers", "cpus_per_worker", "gpus_per_worker"}
    has = {words: {parameter.name for parameter in COMMANDS[words,].params} for words in RUNNING}
    assert has["plan"] == {"methods", "every", "testset_name", *shared}
    assert has["run"] == {*has["plan"], "fail_fast", "protocol", *cluster}
    assert has["run"] - {"methods", "every"} == has["sweep"] - {"method", "grid", "variants"}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["train", "prior", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from bench.cli import app
from bench.cli.options import ExperimentOptions
try:
    app({words!r})
except SystemExit as stop:
    assert not stop.code
loaded = {{name.partition(".")[0] for name in sys.modules}}
sys.exit(", ".join(sorted(loaded & {{"torch", "numpy", "pandas", "PIL"}})) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("prepare celebba", 2, "There is no dataset 'celebba': did you mean 'celeba'?"),
        ("prepare ffhq", 2, "FFHQ1000 does not ship with bench: give its images with --source"),
        ("prepare sample --scale 7", 2, "Scale 7 does not divide 256 px into whole pixels"),
        ("prepare sample --size 0", 2, "Scale 8 does not divide 0 px"),
        ("prepare sample --count 0", 2, "--count is 0, but must be at least 1"),
        (
            "prepare sample --degradation blur",
            2,
            "There is no degradation 'blur' here: choose bicubic or blind",
        ),
        ("prepare sample --name ../x", 2, "--name '../x' can't be a folder's name"),
        ("prepare sample --name .x", 2, "--name '.x' can't be a folder's name"),
        ("prepare celeba --source nothing", 1, "nothing does not exist: give --source a folder"),
        ("run --testset tiny", 2, "There is no test set 'tiny': did you mean 'tiny-set'?"),
        ("run --testset zzz", 2, "There is no test set 'zzz': prepared are tiny-set."),
        ("verify tinyset", 2, "There is no test set 'tinyset': did you mean 'tiny-set'?"),
        ("run bicubik", 2, "There is no method 'bicubik': did you mean 'bicubic'?"),
        ("run --set ddnm.step=3", 2, "settings.ddnm has no 'step': did you mean 'steps'?"),
        ("run --set ddnm.steps=x", 2, "settings.ddnm.steps is 'x', but must be a whole number."),
        ("run --set ddnm.steps", 2, "--set ddnm.steps is not of the form METHOD.NAME=VALUE."),
        ("run --set dppi.steps=3", 2, "There is no method 'dppi': did you mean 'dpi'"),
        ("run ddnm", 1, "There is no prior for 16 px: train one with `bench train prior"),
        ("run ddnm --prior none.pt", 1, "There is no prior at none.pt."),
        ("run ddnm --weights prior=none.pt", 1, "There is no prior at none.pt."),
        ("run ddnm --weights none.pt", 2, "--weights none.pt is not of the form KIND=FILE."),
        ("run ddnm --weights priro=x.pt", 2, "--weights has no 'priro': did you mean 'prior'?"),
        ("run codeformer", 1, "codeformer.pth is missing: run `bench weights get codeformer`."),
        ("run dr2 --set dr2.enhancer=bicubik", 2, "There is no method 'bicubik': did you mean"),
        ("evaluate --on ray --device cuda:1", 2, "--device cuda:1 is for this machine: with --on"),
        ("report --latex --csv", 2, "--latex and --csv exclude each other: choose one."),
        ("report --json --markdown", 2, "--markdown and --json exclude each other: choose one."),
        ("report", 1, "There are no results on tiny-set: `bench run` first."),
        (
            "weights get vggface",
            2,
            "Unknown weights 'vggface': did you mean 'vgg-face' or",
        ),
        (
            "weights add prior-512 x.pt",
            2,
            "Unknown weights 'prior-512': did you mean 'prior-256' or",
        ),
        ("weights add prior-256 x.pt", 1, "There is no file x.pt."),
        ("train prior --data x --out y --size 9", 2, "Size 9 does not fit the network"),
        ("train prior --data x --out y", 1, "x is neither a folder nor a zip"),
        ("train crt --data x --out y --scale 7", 2, "scale 7 is not a divisor of the size 64"),
        ("train sr3 --data x --out y --scale 7", 2, "scale 7 is not a divisor of the size 64"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(
    home: Path, arguments: str, code: int, message: str
) -> None:
    good("prepare", "celeba", "--source", photos(home / "p"), "--size", 16, "--name", "tiny-set")
    outcome = bench(*shlex.split(arguments))
    (line,) = [line for line in outcome.err.splitlines() if not line.startswith("Test set: ")]
    assert line.startswith(f"error: {message}")
    assert outcome.code == code


@pytest.mark.parametrize(
    "arguments", ["", "nothing", "run --nothing", "run --batch 0", "report --faces 0", "weights"]
)
def test_what_cannot_be_parsed_exits_with_2(arguments: str) -> None:
    outcome = bench(*shlex.split(arguments))
    assert outcome.code == 2
    assert "Usage: " in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("text", "command", "code", "message"),
    [
        (
            'metrics = ["psrn"]',
            "run",
            2,
            "There is no metric 'psrn': did you mean 'psnr' or 'psnr-y'?",
        ),
        (
            'metrics = ["psrn"]',
            "report",
            2,
            "There is no metric 'psrn': did you mean 'psnr' or 'psnr-y'?",
        ),
        ('method = ["dpi"]', "run", 2, "bench.toml has no 'method': did you mean 'methods'?"),
        ("seed = ", "run", 1, "bench.toml can't be read: Invalid value (at "),
        ("[settings.dppi]", "run", 2, "There is no method 'dppi': did you mean 'dpi'"),
    ],
)
def test_a_wrong_bench_toml_is_told_before_anything_runs(
    home: Path, text: str, command: str, code: int, message: str
) -> None:
    good("prepare", "celeba", "--source", photos(home / "photos"), "--size", 16, "--scale", 4)
    (home / "bench.toml").write_text(text)
    outcome = bench(command)
    assert message in outcome.err
    assert outcome.code == code
    assert not (home / "results").exists()


def test_without_a_test_set_the_way_to_one_is_told() -> None:
    for command in ("run", "evaluate", "report"):
        outcome = bench(command)
        assert outcome.code == 1
        assert outcome.err == (
            "error: No test set is prepared: start with `bench prepare sample --scale 8`.\n"
        )
    assert "`bench prepare` makes one" in bench("verify", "x").err


def test_debug_shows_the_traceback_and_its_absence_does_not() -> None:
    quiet, loud = bench("prepare", "nothing"), bench("--debug", "prepare", "nothing")
    assert "Traceback" not in quiet.err
    assert "Traceback (most recent call last)" in loud.err
    assert "in find_recipe" in loud.err
    assert loud.err.endswith(quiet.err)
    assert quiet.code == loud.code == 2


def test_what_the_system_refuses_is_one_sentence_too(home: Path) -> None:
    (home / "testsets" / "x" / "manifest.json").mkdir(parents=True)
    outcome = bench("verify", "x")
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")
    assert "Is a directory" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "bench", "datasets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == b""


def test_it_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "bench", "prepare", "celebb"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    hint = "did you mean 'celeba' or 'celebchild'?"
    assert done.stderr.strip() == f"error: There is no dataset 'celebb': {hint}"
    assert done.stdout == ""


def test_the_lists_have_what_is_there(home: Path) -> None:
    good("prepare", "celeba", "--source", photos(home / "photos"), "--size", 16, "--name", "mine")
    assert "bicubic" in good("methods").out
    datasets = good("datasets").out
    assert "CelebA1000" in datasets
    assert "prepared: mine" in datasets
    assert "prior-256" in good("weights", "list").out


def test_doctor_names_what_is_missing_with_the_command_that_gets_it(home: Path) -> None:
    before = good("doctor").out
    assert "bench weights get prior-256" in before
    assert "bench weights add pgdiff-restorer FILE" in before
    assert "torchvision-vgg16" not in before  # `get lpips` brings what is needed of it
    assert "bench weights get lpips" in before
    programs = before.partition("External programs\n")[2]
    for name in ("ctcnet", "dfdnet", "diffbir", "sfmnet", "vqfr"):
        (row,) = [line for line in programs.splitlines() if line.startswith(f"  {name} ")]
        assert row.split()[1] == "missing"
        assert f"`bench external setup {name}`" in row
    assert "bench prepare sample --scale 8" in before
    good("prepare", "celeba", "--source", photos(home / "photos"), "--size", 16, "--name", "mine")
    after = good("doctor").out
    assert "bench prepare sample --scale 8" not in after
    assert "mine" in after
