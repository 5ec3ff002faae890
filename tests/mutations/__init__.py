"""Plausible mistakes in the mathematics, planted one at a time: the tests must notice each.

    python -m tests.mutations              all of them, some minutes
    python -m tests.mutations ddrm fid-    those whose name contains one of these texts
    python -m tests.mutations --check      only that the text of each still stands in its file

They are planted in a copy of the project, so that the work tree stays as it is. What lies beside
the tree (`../shared`) is out of reach there: what the repository itself holds has to be enough.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.config import read_toml
from bench.errors import BenchError
from bench.progress import progress
from bench.typed import build

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mistakes.toml")

# What tests need beside the code; results of runs and what is installed stay behind.
COPIED = (
    "baselines",
    "bench",
    "bench.toml",
    "datasets",
    "docs",
    "pyproject.toml",
    "results/published",
    "tests",
)

PRELOADED = ("pandas", "pytest", "scipy.linalg", "skimage.metrics", "torch")

PASSED, FAILED = 0, 1  # pytest's exit codes; any other says that the tests were not run


@dataclass(frozen=True)
class Mistake:
    """One mistake: the text `is` of a file becomes another one, and one of the tests must fail."""

    name: str
    file: str
    is_: str
    becomes: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> str:
        """The text of the file below `root` with the mistake in it.

        Raises:
            BenchError: the original text does not stand there exactly once.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        if (times := text.count(self.is_)) != 1:
            raise BenchError(
                f"{self.name}: {self.is_!r} stands {times} times in {self.file}, not once: "
                f"bring {TABLE.name} up to date."
            )
        return text.replace(self.is_, self.becomes)


def read_mistakes(table: Path = TABLE) -> list[Mistake]:
    """All mistakes of a table.

    Raises:
        BenchError: a mistake lacks something, or has something unknown.
    """
    return [
        build(
            Mistake,
            {"name": name, **{"is_" if key == "is" else key: v for key, v in entry.items()}},
            f"{table.name}: {name}",
        )
        for name, entry in read_toml(table).items()
    ]


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the project in a temporary folder, which is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        root = Path(folder) / "project"
        for name in COPIED:
            source, target = ROOT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        yield root


def survivors(mistakes: Sequence[Mistake], root: Path) -> list[Mistake]:
    """The mistakes, planted one at a time in the project at `root`, that no test noticed.

    Each is printed as soon as it is known, for all of them take long.

    Raises:
        BenchError: a mistake can't be planted, or its tests fail without it, or can't be run.
    """
    for mistake in mistakes:
        mistake.plant(root)
    tests = list(dict.fromkeys(test for mistake in mistakes for test in mistake.tests))
    code, said = run_tests(tests, root)
    if code != PASSED:
        raise BenchError(
            f"The tests don't pass without any mistake, so they prove nothing:\n{said}"
        )
    missed = []
    with progress("Mistakes", len(mistakes)) as advance:
        for mistake in mistakes:
            file = root / mistake.file
            original, wrong = file.read_bytes(), mistake.plant(root)
            file.write_text(wrong, encoding="utf-8")
            code, said = run_tests(mistake.tests, root)
            file.write_bytes(original)
            if code == PASSED:
                missed.append(mistake)
                print(
                    f"Survived: {mistake.name}: {mistake.becomes!r} in {mistake.file}", flush=True
                )
            elif code != FAILED:
                raise BenchError(f"{mistake.name}: its tests can't be run:\n{said}")
            advance(1)
    return missed


def run_tests(tests: Sequence[str], root: Path) -> tuple[int, str]:
    """pytest's exit code and what it said, on the project at `root`, up to the first failure.

    In a process that is forked from one that has imported what takes long already.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with tempfile.NamedTemporaryFile() as log:
        process = context.Process(target=_run_pytest, args=(tests, root, log.name))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, Path(log.name).read_text(encoding="utf-8", errors="replace")


def _run_pytest(tests: Sequence[str], root: Path, log: str) -> None:
    """All that the process does: our modules are to come from `root`, whatever is imported yet."""
    import pytest
    import torch

    with Path(log).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in list(sys.modules):
        if name.split(".")[0] in COPIED:
            del sys.modules[name]
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)
    sys.dont_write_bytecode = True  # Python takes a file of the same size and second for unchanged
    torch.set_num_threads(1)
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def main(arguments: Sequence[str]) -> int:
    """Plant the mistakes that are asked for; returns the exit code, 1 where one survives."""
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    mistakes = [
        mistake
        for mistake in read_mistakes()
        if not wanted or any(text in mistake.name for text in wanted)
    ]
    if not mistakes or set(arguments) - set(wanted) - {"--check"}:
        print("usage: python -m tests.mutations [--check] [TEXT OF A NAME ...]", file=sys.stderr)
        return 2
    try:
        if "--check" in arguments:
            for mistake in mistakes:
                mistake.plant(ROOT)
            return 0
        with copied_tree() as root:
            missed = survivors(mistakes, root)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(mistakes) - len(missed)} of {len(mistakes)} mistakes were noticed.")
    return 1 if missed else 0
