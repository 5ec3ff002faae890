"""The notebook runs from its first cell to its last, in an empty folder."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "quickstart.ipynb"

nbformat: Any = pytest.importorskip("nbformat")
nbclient: Any = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(notebook: Any) -> list[list[str]]:
    """What each cell shows: the richest form of each output."""
    return [
        [
            "image/png" if "image/png" in output.get("data", {}) else output["output_type"]
            for output in cell["outputs"]
            if output.get("name") != "stderr"
        ]
        for cell in code_cells(notebook)
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_shows_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, 4)
    saved = kinds(json.loads(NOTEBOOK.read_text()))
    for cell in code_cells(notebook):
        cell["outputs"] = []
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    assert kinds(notebook) == saved
    assert sum("image/png" in of for of in saved) == 2
    table = next(c for c in code_cells(notebook) if c["source"].startswith("bench.table("))
    shown = table["outputs"][0]["data"]
    assert "<table" in shown["text/html"]
    assert shown["text/plain"].startswith("### sample")  # Markdown, where no HTML is shown
