"""Tables 1 and 2 at 256 px from an empty machine, with narrow networks in the released layouts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import missing_packages
from tests import rehearsal


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """An empty machine but for LPIPS's backbones, which are never random."""
    try:
        rehearsal.bring_backbones(tmp_path)
    except FileNotFoundError:
        pytest.skip("LPIPS's backbones are not on this machine")
    return tmp_path


def measured(machine: Path, table: str) -> dict[str, dict[str, Any]]:
    """Return method -> metric -> value of the only table made, None where there is none."""
    (file,) = (machine / "results" / "reproduced").glob(f"{table}-*.json")
    methods = json.loads(file.read_text())["methods"]
    return {
        row["name"]: {metric: score["value"] for metric, score in row["scores"].items()}
        for row in methods
    }


def test_table_1_is_made_from_an_empty_machine(machine: Path) -> None:
    made = {
        "prior-256": rehearsal.prior(width=64),
        "codeformer": rehearsal.restorer("codeformer"),
        "inception-torch-fidelity": rehearsal.inception(machine),
    }
    table = replace(rehearsal.TABLE_1, options=("--scale", "8"))
    plan, licence, first, second = rehearsal.rehearse(table, machine, made, 2)
    assert plan.code == licence.code == 0
    assert "missing  weights codeformer" in plan.out
    assert "`bench weights get codeformer`" in plan.out
    assert "to do    weights prior-256" in plan.out
    # SR3 was never published at 256 px: the one row that nobody can have.
    assert first.code == second.code == 1
    assert "failed" not in first.out, first.out
    assert first.out.count("missing") == 2, first.out
    assert "done     corrector for 256 px, x8" in first.out
    found = measured(machine, "table1")
    assert found.pop("sr3") == {"lpips-vgg": None, "fid": None, "psnr": None}
    for name, values in found.items():
        assert values.keys() == {"lpips-vgg", "fid", "psnr"}
        assert all(values.values()), name  # neither None nor exactly 0
    # The second time nothing is left to do: the same states, hashes and tables.
    assert second.out == first.out


@pytest.mark.skipif(
    missing_packages("quality", "pyiqa") is not None, reason="pyiqa is not installed"
)
def test_table_2_is_made_from_an_empty_machine(machine: Path) -> None:
    made = {
        "prior-256": rehearsal.prior(width=64),
        "gfpgan": rehearsal.restorer("gfpgan"),
        "codeformer": rehearsal.restorer("codeformer"),
        "inception-torch-fidelity": rehearsal.inception(machine),
        "musiq": rehearsal.musiq(),
        "clip-rn50": rehearsal.clip_rn50(),
    }
    plan, *before, first, second = rehearsal.rehearse(rehearsal.TABLE_2, machine, made, 2)
    assert {outcome.code for outcome in (plan, *before)} == {0}, [o.err for o in before]
    assert "missing  reference set ffhq" in plan.out
    assert "failed" not in first.out, first.out
    assert "done     corrector for 256 px, blind" in first.out
    found = measured(machine, "table2")
    for program in ("dfdnet", "vqfr"):  # external programs, which are not installed
        assert set(found.pop(program).values()) == {None}
    assert len(found) >= 7
    for name, values in found.items():
        assert values.pop("is") is None, name  # needs ten images
        assert values.keys() == {"fid", "musiq", "clipiqa"}
        assert all(values.values()), name
    assert second.out == first.out
