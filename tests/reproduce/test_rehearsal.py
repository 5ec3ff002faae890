"""Table 1 at 256 px from an empty machine, with narrow networks in the released layouts."""

import json
from pathlib import Path

import pytest

from tests import rehearsal


def test_table_1_is_made_at_256_px_from_an_empty_machine(tmp_path: Path) -> None:
    try:
        rehearsal.bring_backbones(tmp_path)
    except FileNotFoundError:
        pytest.skip("LPIPS's backbones are not on this machine")
    made = {
        "prior-256": rehearsal.prior(width=64),
        "codeformer": rehearsal.codeformer(),
        "inception-torch-fidelity": rehearsal.inception(tmp_path),
    }
    plan, licence, first, second = rehearsal.rehearse(tmp_path, made, 2, ("8",))
    assert plan.code == licence.code == 0
    assert "missing  weights codeformer" in plan.out
    assert "`bench weights get codeformer`" in plan.out
    assert "to do    weights prior-256" in plan.out
    # SR3 was never published at 256 px: the one row that nobody can have.
    assert first.code == second.code == 1
    assert "failed" not in first.out, first.out
    assert first.out.count("missing") == 2, first.out
    assert "done     corrector for 256 px, x8" in first.out
    (table,) = (tmp_path / "results" / "reproduced").glob("table1-*.json")
    methods = {row["name"]: row["scores"] for row in json.loads(table.read_text())["methods"]}
    measured = {
        name: {metric: score["value"] for metric, score in scores.items()}
        for name, scores in methods.items()
        if scores["psnr"]["value"] is not None
    }
    assert measured.keys() == methods.keys() - {"sr3"}
    for name, values in measured.items():
        assert values.keys() == {"lpips-vgg", "fid", "psnr"}
        assert all(values.values()), name  # neither None nor exactly 0
    # The second time nothing is left to do: the same states, hashes and tables.
    assert second.out == first.out
