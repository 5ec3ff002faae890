"""Check imports: only from packages in lower layers, no cycles, nothing heavy before needed."""

import ast
import importlib
import operator
import re
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DESIGN = ROOT / "docs" / "architecture.md"

ONLY = {"diffusion": "bench.core.errors"}
"""Packages that may import one module of ours and nothing else."""

NEVER = {name: {"methods", "dpi", "diffusion"} for name in ("metrics", "report", "sharing")}
"""Imports that the layers would allow, but the design does not."""

BY_NAME = {("methods", "baselines")}
"""The one upward import, of a module whose name is known at run time only."""


def layers() -> dict[str, int]:
    """Return the layer of each package, as docs/architecture.md lists them."""
    design = DESIGN.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", design, re.MULTILINE)
    return {
        package: int(layer)
        for layer, packages in rows
        for package in re.findall(r"`(\w+)`", packages)
    }


def sources() -> dict[str, str]:
    """Dotted name -> source text of every module of bench and baselines."""
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text(encoding="utf-8")
        for file in files
    }


def package_of(module: str) -> str | None:
    """The package of a dotted name, None for others; `bench` itself is the package "bench"."""
    top, *rest = module.split(".")
    if top == "baselines":
        return top
    if top != "bench":
        return None
    return rest[0] if rest and rest[0] != "__init__" else "bench"


def imports(module: str, source: str) -> set[tuple[str, bool]]:
    """Every import of ours in a module, wherever it stands: name, and whether it is by name."""
    package = module.split(".")[:-1]
    found: set[tuple[str, bool]] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found |= {(alias.name, False) for alias in node.names}
            case ast.ImportFrom():
                above = package[: len(package) + 1 - node.level] if node.level else []
                start = ".".join([*above, *filter(None, [node.module])])
                # `from bench import metrics` names the package after the import.
                found |= {(f"{start}.{alias.name}", False) for alias in node.names}
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name("import_module")):
                found |= {(text, True) for text in literal_start(node.args[0])}
    return {(name, dynamic) for name, dynamic in found if package_of(name)}


def literal_start(node: ast.expr) -> list[str]:
    """The text that an expression begins with, as far as it can be read off."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return [text]
    return []


def violations(modules: Mapping[str, str], levels: Mapping[str, int]) -> list[str]:
    """Every import that the layers or the stricter rules forbid, as sentences."""
    wrong = []
    for module, source in sorted(modules.items()):
        here = str(package_of(module))
        for name, dynamic in sorted(imports(module, source)):
            there = str(package_of(name))
            if there == here or (dynamic and (here, there) in BY_NAME):
                continue
            if here not in levels or there not in levels:
                wrong.append(f"{module} imports {name}: a package without a layer")
            elif levels[there] >= levels[here]:
                wrong.append(f"{module} imports {name}: layer {levels[here]} from {levels[there]}")
            elif there in NEVER.get(here, ()) or not name.startswith(ONLY.get(here, "")):
                wrong.append(f"{module} imports {name}: the design forbids it")
    return wrong


def test_the_functions_of_the_walks_exist() -> None:
    named = re.findall(r"`([a-z_.]+):([A-Za-z_.]+)`", DESIGN.read_text(encoding="utf-8"))
    assert len(named) > 25
    for module, function in named:
        operator.attrgetter(function)(importlib.import_module(f"bench.{module}"))


def test_imports_go_down_the_floors_only() -> None:
    assert violations(sources(), layers()) == []


def circle(modules: Mapping[str, str]) -> list[str] | None:
    """Return the modules of an import circle, or None. Imports inside functions count."""
    graph: dict[str, set[str]] = {}
    for module, source in modules.items():
        names = {name for name, dynamic in imports(module, source) if not dynamic}
        known = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = known & modules.keys() - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def test_no_module_imports_itself_through_others() -> None:
    assert circle(sources()) is None


def test_a_circle_is_noticed_also_where_one_import_is_lazy() -> None:
    found = circle({"bench.a": "from bench.b import f", "bench.b": "def f():\n    import bench.a"})
    assert found is not None
    assert set(found) == {"bench.a", "bench.b"}


def test_every_room_has_a_floor() -> None:
    packages = {package_of(module) for module in sources()}
    assert packages == set(layers())


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("bench.core.files", "import bench.store.run", "layer 0 from 3"),
        ("bench.metrics.x", "from bench.engine.run import run_suite", "layer 5 from 5"),
        ("bench.store.run", "def f():\n    from bench import metrics", "layer 3 from 5"),
        ("bench.dpi.x", "if TYPE_CHECKING:\n    from ..engine import run", "layer 4 from 5"),
        ("bench.core.config", "import_module(f'baselines.{name}')", "layer 0 from 5"),
        ("bench.methods", "from baselines import dpi", "layer 3 from 5"),
        ("bench.metrics.x", "from bench.methods import Method", "the design forbids it"),
        ("bench.diffusion.x", "import bench.core.files", "the design forbids it"),
        ("bench.attic", "import bench.core.errors", "a package without a layer"),
        ("bench.cli.x", "from bench.attic import f", "a package without a layer"),
    ],
)
def test_a_forbidden_import_is_noticed(module: str, source: str, said: str) -> None:
    (found,) = violations({module: source}, layers())
    assert found.endswith(said)


def test_allowed_imports_are_allowed() -> None:
    allowed = {
        "bench.cli.x": "from bench import metrics\nimport bench.engine.run\nimport torch",
        "bench.metrics.x": "from . import base\nfrom ..store.run import Run",
        "bench.methods": "import_module('baselines')\nimport_module(f'baselines.{name}')",
    }
    assert violations(allowed, layers()) == []


def test_importing_the_command_line_is_light() -> None:
    program = "import bench.cli, sys; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_package_itself_imports_the_api_alone() -> None:
    found = imports("bench.__init__", sources()["bench.__init__"])
    assert {package_of(name) for name, _ in found} == {"api"}


def test_our_datasets_folder_hides_no_package(tmp_path: Path) -> None:
    """A package of that name wins over our folder, though this lies first on the path."""
    package = tmp_path / "datasets"
    package.mkdir()
    (package / "__init__.py").write_text("NAME = 'the package'\n")
    code = (
        f"import sys; sys.path.insert(1, {str(tmp_path)!r}); import datasets; print(datasets.NAME)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout == "the package\n", result.stderr
