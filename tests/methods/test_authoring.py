"""Adding a method: the file to begin with, and the test that finds every broken promise."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import baselines
from bench.core.errors import BenchError
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem
from bench.methods.authoring import starter, template
from bench.methods.authoring.conformance import check_method
from bench.methods.authoring.witness import STATES
from tests.command import bench as command
from tests.command import good
from tests.small import small_testset

ROOT = Path(__file__).parents[2]

# The test of methods


@dataclass(frozen=True)
class NoSettings:
    pass


Spoil = Callable[[Problem, Tensor], Any]


def broken(spoil: Spoil) -> list[str]:
    """What is said of bicubic enlargement with something done to it or beside it."""

    def restore(problem: Problem, settings: NoSettings) -> Any:
        large = resize_bicubic_batch(problem.lr, problem.size)
        done = spoil(problem, large)
        return large if done is None else done

    return check_method(Method("spoilt", "Spoilt", lambda scale: NoSettings(), restore))


def drew(problem: Problem, x: Tensor, draw: Callable[[], Any]) -> Tensor:
    """The result with a draw added that some random source gives."""
    return x + 0.1 * torch.as_tensor(draw(), dtype=torch.float32)


def in_a_fork(problem: Problem, x: Tensor) -> Tensor:
    with torch.random.fork_rng():
        return x + 0.1 * torch.rand(())


def noise_of_the_first(problem: Problem, x: Tensor) -> Tensor:
    return x + 0.1 * problem.noise.normal_like(x)[:1]


RANDOM = {
    "python": (lambda p, x: drew(p, x, random.random), "It changes the random state of Python."),
    "numpy": (
        lambda p, x: drew(p, x, np.random.rand),
        "It changes the random state of NumPy.",
    ),
    "torch": (
        lambda p, x: drew(p, x, lambda: torch.rand(())),
        "It changes the random state of torch.",
    ),
}

OTHER_RESULT = "Repeating a call changes the result: it uses randomness besides problem.noise."


@pytest.mark.parametrize("source", RANDOM)
def test_global_randomness_is_noticed(source: str) -> None:
    spoil, said = RANDOM[source]
    found = broken(spoil)
    assert said in found
    assert OTHER_RESULT in found


def test_global_randomness_is_noticed_where_its_state_is_put_back() -> None:
    assert broken(in_a_fork) == [OTHER_RESULT]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda p, x: x[..., 1:],
            "It returns [3, 3, 32, 31], not a tensor of shape [3, 3, 32, 32].",
        ),
        (lambda p, x: x.numpy(), "It returns ndarray, not a tensor of shape [3, 3, 32, 32]."),
        (lambda p, x: x.double(), "It returns torch.float64, not torch.float32."),
        (lambda p, x: x / 0, "It returns values that are not finite."),
        (lambda p, x: x / 2 + 0.5, "Its values reach from 0 to 1, but [-1, 1] is expected."),
        (lambda p, x: x * 255, "Its values reach from -255 to 255, but [-1, 1] is expected."),
        (lambda p, x: p.lr.mul_(0.5) and None, "It raised RuntimeError: Boolean value of Tensor"),
        (lambda p, x: 1 / 0, "It raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_picture_is_noticed(spoil: Spoil, said: str) -> None:
    (found,) = broken(spoil)
    assert found.startswith(said)


def darken_input(problem: Problem, x: Tensor) -> None:
    problem.lr.mul_(0.5)


def test_a_changed_input_is_noticed() -> None:
    assert broken(darken_input) == ["It changes its input."]


ON_THE_BATCH = "An image's result depends on the other images in its batch."
ON_THE_ORDER = "An image's result depends on the order of its batch."


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p, x: x - x.mean(), [ON_THE_BATCH]),
        (lambda p, x: x * 0.5 if len(x) == 1 else x, [ON_THE_BATCH]),
        (
            lambda p, x: x + torch.arange(len(x))[:, None, None, None] / 50,
            [ON_THE_ORDER, ON_THE_BATCH],
        ),
        (noise_of_the_first, [ON_THE_ORDER, ON_THE_BATCH]),
        (lambda p, x: x + (0.1 if p.images[0] == "face-0" else 0), [ON_THE_ORDER, ON_THE_BATCH]),
    ],
)
def test_dependence_on_the_batch_is_noticed(spoil: Spoil, said: list[str]) -> None:
    assert broken(spoil) == said


def test_noise_of_the_problem_is_fine() -> None:
    assert broken(lambda p, x: x + 0.1 * p.noise.normal_like(x)) == []


def leave_in_the_temporary_folder(problem: Problem, x: Tensor) -> None:
    Path(tempfile.mkdtemp(), "left").touch()


def use_the_temporary_folder(problem: Problem, x: Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "deep").mkdir()
        Path(folder, "deep", "passing").write_text("gone in a moment")


def test_files_are_noticed(tmp_path: Path) -> None:
    here = Path.cwd()
    kept = tmp_path / "kept"
    kept.touch()
    for spoil, said in (
        (lambda p, x: Path("result.png").touch(), ["It writes files: result.png."]),
        (lambda p, x: (tmp_path / "log").write_text("x") and None, ["It writes files: log."]),
        (lambda p, x: kept.unlink(missing_ok=True), ["It writes files: kept."]),
        (lambda p, x: (tmp_path / "made").mkdir(exist_ok=True), ["It writes files: made."]),
        (lambda p, x: [kept.exists()].clear(), []),
        (lambda p, x: Path(__file__).read_text() and None, []),
        (use_the_temporary_folder, []),
    ):
        assert broken(spoil) == said
    assert any("It writes files: left." in said for said in broken(leave_in_the_temporary_folder))
    assert Path.cwd() == here


def switch_gradients_on(problem: Problem, x: Tensor) -> None:
    torch.set_grad_enabled(True)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda p, x: os.environ.update(SPOILT="1"), "the environment's variables"),
        (lambda p, x: os.chdir("/"), "the current folder"),
        (switch_gradients_on, "whether torch records gradients"),
        (lambda p, x: torch.set_default_dtype(torch.float64), "torch's default type"),
        (lambda p, x: torch.set_num_threads(7), "torch's number of threads"),
        (lambda p, x: torch.use_deterministic_algorithms(True), "whether torch is deterministic"),
    ],
)
def test_a_changed_process_is_noticed(
    spoil: Spoil, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: state() for name, state in STATES.items()}
    threads = torch.get_num_threads()
    monkeypatch.delenv("SPOILT", raising=False)
    try:
        assert broken(spoil) == [f"It changes {what}."]
        assert STATES["the current folder"]() == before["the current folder"]
    finally:
        os.environ.pop("SPOILT", None)
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
        torch.set_grad_enabled(True)


def test_the_random_states_are_as_before() -> None:
    states = [state() for name, state in STATES.items() if "random" in name]
    broken(lambda p, x: drew(p, x, random.random))
    assert [state() for name, state in STATES.items() if "random" in name] == states


# A file to begin with


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace away from the checkout, with a test set."""
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\ntestset = "tiny-16-x4"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baselines, "__path__", list(baselines.__path__))
    small_testset(tmp_path)
    yield tmp_path
    for name in ("my_own_net", "broken", "ddnm_2", "copied"):
        sys.modules.pop(f"baselines.{name}", None)


def test_a_new_method_runs_at_once(home: Path) -> None:
    out = good("new-method", "my-own-net").out
    file = home / "baselines" / "my_own_net.py"
    assert out.splitlines() == [
        f"Wrote {file}",
        "`bench run my-own-net` runs it, `bench check-method my-own-net` tests it.",
    ]
    assert len(file.read_text().splitlines()) < 60
    assert good("check-method", "my-own-net").out == "my-own-net passes all conformance tests.\n"
    assert good("run", "my-own-net").out.startswith("my-own-net: 4 images restored, in ")
    assert "My Own Net" in good("report").out
    outcome = command("run", "my-own-net", "--set", "my-own-net.sharpness=-1")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (
        2,
        "error: sharpness is -1.0: choose 0 or more.",
    )


@pytest.mark.parametrize("name", ["x", "a-method-of-thirty-characters-"[:29] + "x"])
def test_a_new_method_is_formatted_and_linted(tmp_path: Path, name: str) -> None:
    # Its types are those of starter.py, which is checked with everything else.
    file = template.write_method_file(name, tmp_path)
    assert "my-method" not in file.read_text()
    config = ("--config", str(ROOT / "pyproject.toml"))
    for check in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, *config, str(file)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_method_overwrites_nothing(home: Path) -> None:
    good("new-method", "my-own-net")
    file = home / "baselines" / "my_own_net.py"
    file.write_text(file.read_text() + "# mine\n")
    outcome = command("new-method", "my-own-net")
    assert outcome.code == 2
    assert f"There is a method my-own-net already, {file}: choose another" in outcome.err
    assert file.read_text().endswith("# mine\n")
    with pytest.raises(BenchError, match="already exists and was not changed"):
        template.write_method_file(
            "my-own-net2", prepare_file(home / "elsewhere" / "my_own_net2.py")
        )


def prepare_file(file: Path) -> Path:
    file.parent.mkdir()
    file.touch()
    return file.parent


@pytest.mark.parametrize("name", ["ddnm", "vqfr"])
def test_a_new_method_does_not_take_ours(home: Path, name: str) -> None:
    outcome = command("new-method", name)
    assert outcome.code == 2
    assert f"There is a method {name} already" in outcome.err


@pytest.mark.parametrize("name", ["My", "my_net", "2x", "my--net", "-x", "a/b", "class", "x" * 31])
def test_a_bad_name_is_refused(home: Path, name: str) -> None:
    outcome = command("new-method", "--", name)
    assert outcome.code == 2
    assert f"{name!r} can't be a method's name: use lowercase letters and digits" in outcome.err
    assert not (home / "baselines").exists()


# Methods of a workspace


def test_methods_of_a_workspace_are_found_there_only(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    good("new-method", "my-own-net")
    assert "my-own-net" in good("methods").out
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "my-own-net" not in good("methods").out
    assert "There is no method 'my-own-net'" in command("check-method", "my-own-net").err


def test_two_files_of_one_name_are_refused(home: Path) -> None:
    (home / "baselines").mkdir()
    mine = home / "baselines" / "ddnm.py"
    mine.touch()
    outcome = command("run", "bicubic")
    assert outcome.code == 1
    assert f"ddnm.py and {mine} have the same name: rename one of them." in outcome.err


def test_a_broken_promise_is_said_by_the_command(home: Path) -> None:
    good("new-method", "broken")
    file = home / "baselines" / "broken.py"
    file.write_text(file.read_text().replace(".clamp(-1, 1)", "[:1]"))
    outcome = command("check-method", "broken")
    assert outcome.code == 1
    assert outcome.out == "It returns [1, 3, 32, 32], not a tensor of shape [3, 3, 32, 32].\n"
    assert outcome.err == "error: broken fails 1 conformance tests.\n"


def test_what_cannot_be_put_to_the_test_is_an_error() -> None:
    outcome = command("check-method", "ctcnet")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: ctcnet supports x8 only, not x4.\n"
    outcome = command("check-method", "bicubic", "--scale", 5)
    assert outcome.err == "error: Scale 5 does not divide 32 px: choose one that does.\n"
    assert good("check-method", "bicubic", "--size", 48, "--scale", 8).out.startswith(
        "bicubic passes"
    )


def test_a_file_that_is_wrong_hides_no_other(home: Path) -> None:
    (home / "baselines").mkdir()
    (home / "baselines" / "broken.py").write_text("import no_such_package\n")
    (home / "baselines" / "ddnm_2.py").write_text("")
    copied = home / "baselines" / "copied.py"
    copied.write_text(Path(str(starter.__file__)).read_text())
    lines = good("methods").out.splitlines()
    assert any(line.split()[:4] == ["bicubic", "plain", "-", "-"] for line in lines)
    said = "its file is invalid: ModuleNotFoundError: No module named 'no_such_package'."
    assert f"  broken: {said}" in lines
    assert f"  copied: {copied} names its method 'my-method': it must be 'copied'." in lines
    assert any(line.endswith("must define METHOD as a bench.methods.Method.") for line in lines)
