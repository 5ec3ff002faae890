"""Tables 1 and 3 at 256 px from an empty machine, with narrow networks in released layouts."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.paths import missing_packages
from tests import rehearsal
from tests.onnx_file import embedder


@pytest.mark.slow
def test_tables_1_and_3_are_made_from_an_empty_machine(machine: Path) -> None:
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

    if missing_packages("recognition", "deepface", "onnxruntime", "cv2"):
        return
    # Table 3 measures the same runs: the images stay untouched.
    images = {path: path.stat().st_mtime_ns for path in machine.glob("results/celeba*/*/images/*")}
    assert len(images) >= 2 * 9
    table = replace(rehearsal.TABLE_3, options=("--scale", "8"))
    made["vgg-face"] = embedder(224, 4096)
    plan, first, second = rehearsal.rehearse(table, machine, made, 2)
    assert plan.code == 0
    assert "to do    weights vgg-face" in plan.out
    assert first.code == second.code == 1  # for want of SR3, as above
    assert "failed" not in first.out, first.out
    found = rehearsal.measured(machine, "table3")
    assert found.pop("sr3") == {"cs": None, "acc": None}
    for name, values in found.items():
        assert values["cs"] > 0, name
        assert values["acc"] in {0, 50, 100}, name
    assert second.out == first.out
    assert images == {path: path.stat().st_mtime_ns for path in images}
