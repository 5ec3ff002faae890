"""Installation of an external program: repository at a commit, and its own environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import read_json, sha256_file, sha256_json, write_json
from bench.core.locks import locked
from bench.core.paths import cache_folder
from bench.methods.external import process
from bench.methods.external.program import Program


@dataclass(frozen=True)
class Installation:
    """A program's folder in the cache. `setup.json` is written last and marks it complete."""

    program: Program

    @property
    def folder(self) -> Path:
        return cache_folder() / "external" / self.program.name

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def python(self) -> Path:
        return self.folder / "environment" / "bin" / "python"

    @property
    def log(self) -> Path:
        """Log file of the last call."""
        return self.folder / "log.txt"

    @property
    def _record(self) -> Path:
        return self.folder / "setup.json"

    @property
    def _wanted(self) -> str:
        """Return the hash of the installation's inputs; if it changes, install again."""
        d = self.program.description
        return sha256_json([d.repository, d.commit, asdict(d.environment)])

    def fingerprint(self) -> dict[str, str]:
        """Return hashes of the inputs of results: commit, description, weights.

        Raises:
            BenchError: something is missing, or not as described, with what to do.
        """
        remedy = f"run `bench external setup {self.program.name}`"
        if not self._record.is_file():
            raise BenchError(f"{self.program.name} is not installed: {remedy}.")
        record = read_json(self._record, "how a program was set up")
        if not self.python.is_file() or record.get("wanted") != self._wanted:
            raise BenchError(
                f"{self.program.name} was installed with another configuration: {remedy} again."
            )
        if self._git("rev-parse", "HEAD") != record["commit"] or self._git(
            "status", "--porcelain", "--untracked-files=no"
        ):
            raise BenchError(
                f"{self.repository} has changed since installation: {remedy} again, which "
                "discards the changes."
            )
        return {"commit": str(record["commit"]), "program": self.program.sha256, **self._weights()}

    def _weights(self) -> dict[str, str]:
        found = {}
        for weights in self.program.description.weights:
            for file in weights.files:
                path = self.repository / file
                if not path.is_file():
                    raise BenchError(
                        f"{self.program.name} needs {path.name}: get it from {weights.source} and "
                        f"place it at {path}."
                    )
                found[file] = sha256_file(path)
                if found[file] != weights.sha256.get(file, found[file]):
                    raise BenchError(
                        f"{path} is not the published file: its sha256 is {found[file]}, not "
                        f"{weights.sha256[file]}. Download it again from {weights.source}."
                    )
        return found

    def set_up(self, say: Callable[[str], None]) -> None:
        """Clone the repository and install into a new environment, keeping weights.

        Raises:
            BenchError: a step failed, such as without a network.
        """
        environment = self.program.description.environment
        with locked(self.folder, say):
            interpreter = find_interpreter(environment.python)
            self._record.unlink(missing_ok=True)
            say(f"Repository: {self.program.description.repository}")
            commit = self._clone()
            say(f"Environment: {interpreter}")
            venv = [interpreter, "-m", "venv", "--clear", str(self.python.parents[1])]
            pip = [] if environment.install else ["--without-pip"]
            self._step("The environment could not be created.", [*venv, *pip])
            for arguments in environment.install:
                what = " ".join(arguments)
                say(f"Installing {what}")
                self._step(
                    f"{what} could not be installed: check the network connection.",
                    [str(self.python), "-m", "pip", "install", "--no-input", *arguments],
                )
            write_json(self._record, {"wanted": self._wanted, "commit": commit})

    def _clone(self) -> str:
        """Check out the commit and return it; untracked files stay."""
        description = self.program.description
        self.repository.mkdir(exist_ok=True)
        trouble = f"{description.repository} could not be fetched: check the network connection."
        self._step("The repository could not be created.", ["git", "init", "--quiet"])
        fetch = ["git", "fetch", "--depth", "1", description.repository]
        self._step(trouble, [*fetch, description.commit or "HEAD"])
        self._step(trouble, ["git", "checkout", "--quiet", "--force", "FETCH_HEAD"])
        return self._git("rev-parse", "HEAD")

    def _step(self, trouble: str, command: list[str]) -> None:
        variables = self.program.description.environment.variables
        try:
            process.run_command(command, self.repository, self.log, variables)
        except BenchError as error:
            raise BenchError(f"{self.program.name}: {trouble}\n{error}") from None

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), *arguments]
        try:
            environment = process.clean_environment(os.environ)
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
        except (OSError, subprocess.CalledProcessError):
            raise BenchError(f"git can't read {self.repository}: is git installed?") from None
        return done.stdout.strip()


def find_interpreter(version: str | None) -> str:
    """Return a Python interpreter of this version, such as "3.8" (default: this one).

    Raises:
        BenchError: no such interpreter on the PATH.
    """
    if version in (None, f"{sys.version_info.major}.{sys.version_info.minor}"):
        return sys.executable
    for name in (f"python{version}", "python3", "python"):
        path = shutil.which(name)
        if path and _version_of(path) == version:
            return path
    raise BenchError(
        f"Python {version} is needed, but no working python{version} is on the PATH: install one."
    )


def _version_of(interpreter: str) -> str:
    """Return a version such as "3.8"; empty if the file does not start Python."""
    command = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
