"""Describing a program in TOML, and setting it up: what is refused, what is said, what stays."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import baselines
from bench.core.errors import BenchError, WrongUsage
from bench.core.locks import locked
from bench.methods.external.installation import Installation, find_interpreter
from bench.methods.external.program import read_program
from tests.command import bench as command
from tests.command import good
from tests.small import small_testset
from tests.small_program import git

SHIPPED = sorted(Path(str(baselines.__file__)).parent.glob("*.toml"))

BARE = """
title = "Bare"
repository = "{repository}"
command = ["cp", "-r", "{{input}}/.", "{{output}}"]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with an empty cache and a test set, which is the current folder."""
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\n')
    (tmp_path / "baselines").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(baselines, "__path__", list(baselines.__path__))
    small_testset(tmp_path)
    return tmp_path


@pytest.fixture
def repository(home: Path) -> Path:
    """A repository with two commits."""
    folder = home / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for text in ("first", "second"):
        (folder / "file").write_text(text)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", text)
    return folder


def describe(home: Path, repository: Path | str, more: str = "") -> Installation:
    file = home / "baselines" / "bare.toml"
    file.write_text(BARE.format(repository=repository) + more)
    return Installation(read_program(file))


# Setting up


def test_without_a_set_up_a_run_says_what_to_do(home: Path, repository: Path) -> None:
    describe(home, repository)
    outcome = command("run", "bicubic", "bare", "--testset", "tiny-16-x4")
    remedy = "bare is not installed: run `bench external setup bare`."
    assert (outcome.code, outcome.err.splitlines()[-1]) == (1, f"error: {remedy}")
    assert not (home / "results").exists(), "not even the first method ran"
    assert f"  bare: {remedy}" in good("methods").out.splitlines()


def test_while_another_process_sets_it_up_it_waits(home: Path, repository: Path) -> None:
    installation = describe(home, repository)

    class Waits(Exception):
        pass

    def stop(sentence: str) -> None:
        raise Waits(sentence)

    with (
        locked(installation.folder, pytest.fail),
        pytest.raises(Waits, match=f"is working in {installation.folder}: waiting"),
    ):
        installation.set_up(stop)


def test_set_up_by_its_command(home: Path, repository: Path) -> None:
    installation = describe(home, repository)
    lines = good("external", "setup", "bare").out.splitlines()
    assert lines[0] == f"Repository: {repository}"
    assert lines[-1] == f"bare is ready, in {home / 'cache' / 'external' / 'bare'}"
    assert installation.fingerprint()["commit"] == git(repository, "rev-parse", "HEAD")
    outcome = command("run", "bare", "--testset", "tiny-16-x4")
    # The inputs are no results: every one of them is listed, with its size.
    assert outcome.code == 1
    assert "Wrong: face-0 (4 x 4, not 16 x 16), face-1 (4 x 4, not 16 x 16)" in outcome.err


def test_the_commit_that_is_named_is_the_one_taken(home: Path, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    latest = describe(home, repository)
    latest.set_up(say=print)
    weights = latest.repository / "weights.bin"
    weights.write_bytes(b"large")
    assert (latest.repository / "file").read_text() == "second"
    pinned = describe(home, repository, f'commit = "{first}"')
    with pytest.raises(
        BenchError, match="bare was installed with another configuration: run `bench "
    ):
        pinned.fingerprint()
    pinned.set_up(say=print)
    assert (pinned.repository / "file").read_text() == "first"
    assert pinned.fingerprint()["commit"] == first
    assert weights.read_bytes() == b"large", "what the user placed there stays"


def test_a_repository_out_of_reach_is_a_sentence(home: Path, repository: Path) -> None:
    describe(home, repository).set_up(say=print)
    # Nothing listens on this port.
    gone = describe(home, "http://127.0.0.1:9/nowhere")
    outcome = command("external", "setup", "bare")
    assert outcome.code == 1
    assert (
        "bare: http://127.0.0.1:9/nowhere could not be fetched: check the network connection."
        in outcome.err
    )
    assert "The end of its output:" in outcome.err
    with pytest.raises(BenchError, match="bare is not installed"):
        gone.fingerprint()


def test_weights_are_asked_for_at_the_end_of_the_set_up(home: Path, repository: Path) -> None:
    more = '[[weights]]\nsource = "the authors"\nfiles = ["deep/net.pth"]'
    place = describe(home, repository, more).repository / "deep" / "net.pth"
    lines = good("external", "setup", "bare").out.splitlines()
    assert lines[-1] == f"bare needs net.pth: get it from the authors and place it at {place}."


def test_only_programs_can_be_set_up() -> None:
    outcome = command("external", "setup", "ddnm")
    assert (outcome.code, outcome.err) == (
        2,
        "error: ddnm is not an external program: there is nothing to set up.\n",
    )


def test_a_python_of_the_version_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, version in (("python3.2", "3.2"), ("python3.3", "")):  # the other starts no Python
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    assert find_interpreter("3.2") == str(tmp_path / "python3.2")
    for version in ("3.1", "3.3"):
        with pytest.raises(
            BenchError, match=rf"Python {version} is needed, but no working python{version}"
        ):
            find_interpreter(version)


# Descriptions


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sise = 512", r"has no 'sise': did you mean 'size'"),
        ('size = "large"', r"size is 'large', but must be a whole number"),
        ("batch = 0", r"batch is 0, but must be at least 1"),
        ('result = "out.png"', r"result is 'out\.png', but must name \{image\}"),
        ('result = "../{image}.png"', r"names \.\./\{image\}\.png, which must be a path below"),
        ('inputs = { "/tmp" = "lr" }', r"names /tmp, which must be a path below a folder"),
        ('inputs = { "." = "hr" }', r"inputs\.\. is 'hr': choose 'lr' or 'enlarged'"),
        ('[[weights]]\nsource = "x"\nfiles = ["../y"]', r"names \.\./y, which must be a path"),
        (
            '[[weights]]\nsource = "x"\nfiles = []\nsha256 = { y = "" }',
            r"has a sha256 of y, but no",
        ),
        ("[settings]\nsize = 3", r"settings\.size can't be a setting's name"),
        ("[settings]\nlambda = 0.5", r"settings\.lambda can't be a setting's name"),
        ("[settings]\nfast = true", r"settings\.fast is True, but must be a number or string"),
        ("[at.4]\nsteps = 3", r"at\.4 has no 'steps'"),
        ("[at.four]", r"at\.four is not a scale"),
    ],
)
def test_a_wrong_description_is_refused(home: Path, more: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        describe(home, "somewhere", more)


def test_a_command_names_only_what_is_there(home: Path) -> None:
    file = home / "baselines" / "bare.toml"
    for words, message in (
        (
            '["run", "--in={input}", "{fidelty}"]',
            r"command has the unknown placeholder \{fidelty\}: known are fidelity, i",
        ),
        ("[]", r"command is empty"),
    ):
        facts = f'title = "Bare"\nrepository = "x"\ncommand = {words}\n'
        file.write_text(f"{facts}[settings]\nfidelity = 1\n")
        with pytest.raises(WrongUsage, match=message):
            read_program(file)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_ships_is_complete_and_says_where_it_is_from(file: Path) -> None:
    program = read_program(file)
    description = program.description
    assert description.paper
    assert description.licence
    assert description.repository.startswith("https://github.com/")
    assert re.fullmatch("[0-9a-f]{40}", description.commit or "")
    words = " ".join(description.command)
    assert "{input}" in words
    assert "{output}" in words
    assert description.environment.install
    assert all(weights.files for weights in description.weights)
    for weights in description.weights:
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in weights.sha256.values())
    assert set(map(str, program.settings(8).__dict__)) == set(description.settings)


def test_these_programs_ship() -> None:
    names = "ctcnet dfdnet diffbir dr2e invsr osediff pgdiff-512 pmrf resshift sfmnet vqfr"
    assert sorted(file.stem for file in SHIPPED) == sorted(names.split())


def test_the_script_around_dr2e_renames_its_results(tmp_path: Path) -> None:
    """The class is a stand-in that names its files as the released one does."""
    (file,) = [file for file in SHIPPED if file.stem == "dr2e"]
    program = read_program(file)
    (tmp_path / "dr2e.py").write_text(
        "import os\n"
        "class DR2E:\n"
        "    def __init__(self, sr): assert sr == 'SPAR'\n"
        "    def inference(self, img_pth, save_dir=None, N=8, tau=0):\n"
        "        name = img_pth.split('/')[-1].split('.')[0] + f'_(N{N:02d}T{tau:02d})_SPAR'\n"
        "        os.makedirs(save_dir + '/enhancement', exist_ok=True)\n"
        "        open(save_dir + '/enhancement/' + name + '.png', 'w').close()\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "face_(1).png").touch()
    places = {"python": sys.executable, "input": tmp_path / "in", "output": tmp_path / "out"}
    for scale, facts in ((4, (4, 22)), (8, (8, 35)), (16, (16, 35))):
        settings = program.settings(scale)
        assert (settings.n, settings.tau) == facts
        command = program.command(places | {"n": settings.n, "tau": settings.tau})
        subprocess.run(command, cwd=tmp_path, check=True)
        made = tmp_path / "out" / program.description.result.format(image="face_(1)")
        assert made.is_file()
        made.unlink()
