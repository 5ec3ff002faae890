"""What is installed, under which licence, with which hash, and that nothing calls home."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest

from bench.metrics.features.backbones import BACKBONES
from bench.networks.registry.records import find_record, records
from tools import licences, requirements

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
CONSTRAINTS = requirements.pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
PAGE = licences.FILE.read_text(encoding="utf-8")

# --- Hashes -------------------------------------------------------------------------------------


def test_the_hashed_requirements_are_the_default_install() -> None:
    expected = licences.default_install() - set(requirements.BUILDS)
    pinned = requirements.pins(REQUIREMENTS)
    # Beside it stands what other versions of Python need, such as setuptools.
    assert expected <= pinned.keys()
    assert pinned.items() <= CONSTRAINTS.items()


def test_every_requirement_has_a_hash() -> None:
    for entry in re.split(r"^(?=[a-z])", REQUIREMENTS, flags=re.MULTILINE)[1:]:
        assert re.fullmatch(r"\S+==[^\\]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry), (
            entry
        )


def test_only_what_was_run_together_is_required() -> None:
    hashed = "x==1 \\\n    --hash=sha256:0\n"
    compiled = (
        f"colorama==0.4.6 \\\n    --hash=sha256:1\ntorch==2.13.0\n{hashed.replace('x', 'rich')}"
    )
    assert list(requirements.chosen(compiled)) == [hashed.replace("x", "rich")]


# --- Licences -----------------------------------------------------------------------------------


def test_the_page_has_every_package_network_and_dataset() -> None:
    for rows in (licences.networks_of_others(), licences.datasets()):
        assert [row for row in rows if row not in PAGE] == []
    for name, row in licences.packages().items():
        if licences.installed_package(name):
            assert row in PAGE, "run `python -m tools.licences`"
        else:  # an extra that is missing
            assert f"\n| {name} | extra | " in PAGE


def test_nothing_restricted_is_installed_by_default() -> None:
    default = licences.default_install()
    assert {"torch", "lpips", "rich", "jinja2"} <= default  # its own, and what those bring
    assert not default & licences.RESTRICTED.keys()
    said = {name: licences.licence_of(name) for name in default}
    assert [name for name in said if re.search(r"(?i)non-?commercial|\bNC\b", said[name])] == []


def test_no_restricted_network_comes_unasked() -> None:
    """`make install` fetches what LPIPS stands on, and nothing else."""
    fetched = re.findall(r"bench weights get (\S+)", (ROOT / "Makefile").read_text())
    assert fetched == ["lpips"]
    for backbone in BACKBONES.values():
        assert not find_record(backbone.record).non_commercial
    stated = [r for r in records().values() if licences.restricts(r.licence)]
    assert [record.name for record in stated if not record.non_commercial] == []


def test_every_extra_that_is_restricted_says_so() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    named = " ".join(part for parts in extras.values() for part in parts).replace("_", "-")
    assert [name for name in licences.RESTRICTED if name not in named] == []


@pytest.mark.parametrize(
    ("words", "restricted"),
    [
        ("CC BY-NC-SA 4.0", True),
        ("non-commercial research only", True),
        ("LFW: research; no licence is stated", True),
        ("Apache-2.0", False),
        ("none stated", False),
    ],
)
def test_restrictions_are_told_by_their_words(words: str, restricted: bool) -> None:
    assert licences.restricts(words) is restricted


# --- The network --------------------------------------------------------------------------------

# What Python runs first: each attempt to reach the network is noted, and refused.
REFUSE = """
import os, sys

def refuse(event, arguments):
    if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.connect"}:
        if event == "socket.connect" and isinstance(arguments[1], (str, bytes)):
            return  # a socket in the file system
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise OSError("There is no network here.")

sys.addaudithook(refuse)
"""

COMMANDS = """
import importlib, pkgutil, shlex, sys
import bench
from bench.training import architectures
from tests.command import good
from tests.small import TINY_PRIOR

for module in pkgutil.walk_packages(bench.__path__, "bench."):
    if module.name not in {"bench.__main__", "bench.metrics.features.lpips_jax"}:
        importlib.import_module(module.name)
for line in sys.stdin:
    good(*shlex.split(line))
good("evaluate")
architectures.PRIOR_64 = TINY_PRIOR
faces = ("--size", 16, "--data", "testsets/sample-64-x8/hr")
good("train", "prior", *faces, "--out", "nets", "--steps", 1, "--batch", 2)
for line in ("verify results", "weights list", "weights verify", "doctor", "datasets", "methods"):
    good(*line.split())
"""


QUICKLY = {
    "prepare": "--count 2 --size 64",
    "run": "--set ilvr.steps=3 --set ilvr.range_t=1 --set ddnm.steps=3 --set dpi.steps=3",
    "report": "",
}


def demo() -> list[str]:
    """What `make demo` does, on two faces and in a few steps."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    _, _, recipe = makefile.partition("\ndemo: install\n")
    lines = takewhile(lambda line: line.startswith("\t"), recipe.splitlines())
    commands = [line.removeprefix("\t$(RUN)bench ") for line in lines]
    return [f"{command} {QUICKLY[command.split()[0]]}" for command in commands]


def without_network() -> list[str]:
    """What begins a process for which the kernel has no network, where that is allowed."""
    command = ["unshare", "--net"]
    allowed = (
        shutil.which(command[0]) and not subprocess.run([*command, "true"], check=False).returncode
    )
    return command if allowed else []


def run_refused(folder: Path, code: str, given: str = "") -> tuple[int, str, str]:
    """Exit code and errors of a program without a network, and the attempts that it made."""
    (folder / "sitecustomize.py").write_text(REFUSE)
    attempts = folder / "attempts"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "ATTEMPTS": str(attempts),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("BENCH_OFFLINE", None)
    command = [*without_network(), sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, attempts.read_text() if attempts.exists() else ""


def test_no_command_but_those_that_fetch_reaches_for_the_network(tmp_path: Path) -> None:
    assert [line.split()[0] for line in demo()] == ["prepare", "run", "report"]
    code, said, attempts = run_refused(tmp_path, COMMANDS, "\n".join(demo()))
    assert attempts == ""
    assert code == 0, said
    assert (tmp_path / "results" / "demo" / "index.html").is_file()


def test_an_attempt_would_be_noticed(tmp_path: Path) -> None:
    code = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')"
    exit_code, said, attempts = run_refused(tmp_path, code)
    assert exit_code == 1
    assert "There is no network here" in said
    assert attempts.startswith("socket.")
