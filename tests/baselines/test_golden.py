"""The samplers against recorded runs of the reference implementations."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.methods import method_names
from tests import parity
from tests.recorded import Dump

SMALL = Path(__file__).parents[1] / "golden"
SHARED = Path(__file__).parents[3] / "shared" / "golden"


@pytest.mark.parametrize("path", sorted(SMALL.glob("*.npz")), ids=lambda p: p.stem)
def test_small_vectors(path: Path) -> None:
    check = parity.check_for(path)
    assert check is not None
    dump = Dump.read(path)
    with torch.no_grad():
        cases = dict(check(dump))
    assert cases
    assert not dump.untouched()
    assert {case: d for case, d in cases.items() if d > parity.TOLERANCE} == {}


@pytest.mark.slow
def test_whole_dumps(capsys: pytest.CaptureFixture[str]) -> None:
    if not SHARED.is_dir():
        pytest.skip("the whole golden vectors are not here, only tests/golden")
    assert parity.main(SHARED) == 0
    printed = capsys.readouterr().out
    unknown = set(re.findall(r"^(\w+)\.npz: unknown", printed, re.MULTILINE))
    assert not unknown & set(method_names())  # a dump of every method that is here is checked
    assert "no check for this case" not in printed
    for path in sorted(SHARED.glob("*.npz")):
        if path.stem in unknown:
            continue
        outputs = [name for name in Dump.read(path).arrays if re.search(r"(^|_)out$", name)]
        compared = re.findall(rf"^{path.name}: ((?:\w\S*_)?out): \d", printed, re.MULTILINE)
        assert sorted(compared) == sorted(outputs)


def test_a_difference_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(Dump.read(SMALL / "ilvr.npz").arrays)
    arrays["phi8"] = arrays["phi8"] + np.float32(2e-4)
    save(tmp_path / "ilvr_changed.npz", arrays)
    assert parity.main(tmp_path) == 1
    assert "phi8: 2.00e-04  FAILED" in capsys.readouterr().out


def test_an_unknown_case_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(Dump.read(SMALL / "ilvr.npz").arrays)
    save(tmp_path / "ilvr.npz", arrays | {"strange_out": np.zeros(1, np.float32)})
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    assert parity.main(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "strange_out: unknown" in printed
    assert "other.npz: unknown" in printed


def save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def test_an_empty_folder_fails(tmp_path: Path) -> None:
    assert parity.main(tmp_path) == 1
