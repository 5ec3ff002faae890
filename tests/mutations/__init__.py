"""Mutation tests: plausible mistakes are planted one at a time, and the tests must notice each.

    python -m tests.mutations              all of them, some minutes
    python -m tests.mutations ddrm fid-    those whose name contains one of these texts
    python -m tests.mutations --check      only check that each can be planted

Mistakes are planted in a copy of the project, so the work tree stays as it is. The copy has no
`../shared`: the tests have to notice every mistake with what the repository itself holds.
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

from bench.core.config import read_toml
from bench.core.errors import BenchError
from bench.core.progress import progress
from bench.core.validation import build
from tests.mutations.code import find_code

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mistakes.toml")

# What the tests need: no results of runs, nothing that is installed.
COPIED = (
    "baselines",
    "bench",
    "bench.toml",
    "datasets",
    "docs",
    "tools",
    "pyproject.toml",
    "results/published",
    "tests",
)

PRELOADED = ("pandas", "pytest", "scipy.linalg", "skimage.metrics", "torch")

PASSED, FAILED = 0, 1  # pytest's exit codes; any other means that the tests were not run


@dataclass(frozen=True)
class Mistake:
    """One mistake: the code `original` becomes `mutant`, and one of `tests` must fail.

    Attributes:
        name: the mistake's name.
        where: `module:function`, as `schedule:Schedule.respaced`. The module may be shortened
            to its last names; without a function the whole module is meant.
        original: an expression, a keyword argument or statements, which occur there once.
        mutant: the code that takes their place.
        tests: arguments of pytest.
    """

    name: str
    where: str
    original: str
    mutant: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> tuple[Path, str]:
        """Return the file below `root` that the mistake changes, and its text with the mistake.

        Raises:
            BenchError: the original code does not occur exactly once.
        """
        found = find_code(root, self.where, self.original)
        if len(found) != 1:
            places = ", ".join(f"{path.relative_to(root)}:{span.line}" for path, span in found)
            raise BenchError(
                f"{self.name}: {self.original!r} occurs {len(found)} times in {self.where}, not "
                f"once{f' ({places})' if places else ''}: bring {TABLE.name} up to date."
            )
        [(path, span)] = found
        return path, span.replaced(path.read_text(encoding="utf-8"), self.mutant)


def read_mistakes(table: Path = TABLE) -> list[Mistake]:
    """Read all mistakes of a table.

    Raises:
        BenchError: a key of a mistake is missing or unknown.
    """
    return [
        build(Mistake, {"name": name, **entry}, f"{table.name}: {name}")
        for name, entry in read_toml(table).items()
    ]


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Yield a copy of the project in a temporary folder, removed in the end."""
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
    """Return the mistakes that no test notices, planted one at a time in the project at `root`.

    Each is printed as soon as it is known, since all of them take long.

    Raises:
        BenchError: a mistake can't be planted, or its tests fail without it or can't be run.
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
            file, wrong = mistake.plant(root)
            original = file.read_bytes()
            file.write_text(wrong, encoding="utf-8")
            code, said = run_tests(mistake.tests, root)
            file.write_bytes(original)
            if code == PASSED:
                missed.append(mistake)
                print(
                    f"Survived: {mistake.name}: {mistake.mutant!r} in {mistake.where}", flush=True
                )
            elif code != FAILED:
                raise BenchError(f"{mistake.name}: its tests can't be run:\n{said}")
            advance(1)
    return missed


def run_tests(tests: Sequence[str], root: Path) -> tuple[int, str]:
    """Run pytest on the project at `root` up to the first failure; return exit code and output.

    The process is forked from one that has already imported the slow packages.
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
    """Run pytest in this process, with our modules imported from `root`."""
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
    """Plant the selected mistakes; return the exit code, 1 if one survives."""
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
