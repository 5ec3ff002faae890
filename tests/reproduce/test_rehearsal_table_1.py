"""Table 1 at 256 px from an empty machine, with narrow networks in the released layouts."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import rehearsal


@pytest.mark.slow
def test_table_1_is_made_from_an_empty_machine(machine: Path) -> None:
    made = {
        "prior-256": rehearsal.prior(width=32),
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
    found = rehearsal.measured(machine, "table1")
    assert found.pop("sr3") == {"lpips-vgg": None, "fid": None, "psnr": None}
    for name, values in found.items():
        assert values.keys() == {"lpips-vgg", "fid", "psnr"}
        assert all(values.values()), name  # neither None nor exactly 0
    # The second time nothing is left to do: the same states, hashes and tables.
    assert second.out == first.out
