"""torchvision's import: mended where it fails in the known way, else left alone."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from bench.networks import torchvision_guard
from bench.networks.torchvision_guard import import_torchvision


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take torchvision away, and note declarations instead of making them."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    calls: list[str] = []
    monkeypatch.setattr(torchvision_guard, "_declare_operators", lambda: calls.append("declared"))
    return calls


@pytest.fixture
def fake(
    declared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Install a torchvision whose import runs the lines given."""

    def install(lines: str) -> None:
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "part.py").touch()
        (package / "__init__.py").write_text(lines)
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("torchvision", "torchvision.part"):  # so that they go when the test ends
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
            del sys.modules[name]

    return install


def test_a_working_install_is_untouched(
    declared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", module)
    import_torchvision()
    assert sys.modules["torchvision"] is module
    assert declared == []


def test_a_working_import_happens_once(fake: Callable[[str], None], declared: list[str]) -> None:
    fake("from torchvision import part\n")
    import_torchvision()
    assert hasattr(sys.modules["torchvision"], "part")
    assert declared == []


def test_the_known_failure_is_mended(fake: Callable[[str], None], declared: list[str]) -> None:
    fake(
        "import sys\n"
        "from torchvision import part\n"
        "if not getattr(sys, 'torchvision_tried', []):\n"
        "    sys.torchvision_tried = [part]\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    try:
        import_torchvision()
        first = sys.torchvision_tried[0]  # type: ignore[attr-defined]
    finally:
        del sys.torchvision_tried  # type: ignore[attr-defined]
    assert declared == ["declared"]
    assert sys.modules["torchvision.part"] is not first, "the half-imported module stayed"


def test_other_failures_pass_through(fake: Callable[[str], None], declared: list[str]) -> None:
    fake("raise RuntimeError('something else')\n")
    with pytest.raises(RuntimeError, match="something else"):
        import_torchvision()
    assert declared == []


def test_torchvision_imports_here() -> None:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision isn't installed")
    code = (
        "from bench.networks.torchvision_guard import import_torchvision, _kept\n"
        "import_torchvision(); import_torchvision()\n"
        "import torch, torchvision\n"
        "assert torchvision.models.alexnet().features[0].weight.shape == (64, 3, 11, 11)\n"
        "assert torch.ops.torchvision.nms is not None\n"
        "print(torchvision.extension._has_ops() != bool(_kept))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout.strip() == "True", finished.stderr
