"""Table 2 at 256 px from an empty machine, with narrow networks in the released layouts."""

from pathlib import Path

import pytest

from bench.core.paths import missing_packages
from tests import rehearsal


@pytest.mark.slow
@pytest.mark.skipif(
    missing_packages("quality", "pyiqa") is not None, reason="pyiqa is not installed"
)
def test_table_2_is_made_from_an_empty_machine(machine: Path) -> None:
    made = {
        "prior-256": rehearsal.prior(width=32),
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
    found = rehearsal.measured(machine, "table2")
    for program in ("dfdnet", "vqfr"):  # external programs, which are not installed
        assert set(found.pop(program).values()) == {None}
    assert len(found) >= 7
    for name, values in found.items():
        assert values.pop("is") is None, name  # needs ten images
        assert values.keys() == {"fid", "musiq", "clipiqa"}
        assert all(values.values()), name
    assert second.out == first.out
