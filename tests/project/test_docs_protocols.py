"""The table of what the paper protocol changes is made by a command, and says what it says."""

from pathlib import Path

import numpy as np
import pytest

from bench.images import read_image, resize_bicubic
from bench.metrics import find
from tools import protocols

SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := find("lpips-vgg").unavailable():
        pytest.skip(reason)
    monkeypatch.setattr(protocols, "FILE", tmp_path / "protocols.md")
    monkeypatch.setattr(protocols, "PICTURE", tmp_path / "protocols.png")
    monkeypatch.setattr(protocols, "SIZE", 64)
    assert protocols.main([str(SAMPLE), "2"]) == 0
    picture = read_image(tmp_path / "protocols.png")
    for colour in ((0, 114, 178), (213, 94, 0)):  # both scales have points, of the first colours
        assert (picture == colour).all(axis=-1).any()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (tmp_path / "protocols.md").read_text().splitlines()
        if line.startswith(("| 8", "| 16"))
    ]
    assert [row[0] for row in rows] == ["8"] * 5 + ["16"] * 5
    strict, cut, png, jpeg, printed = rows[:5]
    assert printed == ["8", "printed", "24.95", "", "0.2263"]
    assert strict[2:4] == png[2:4]  # pixels are the same, and so is what is asked of them
    assert float(png[4]) < 0.8 * float(strict[4])  # LPIPS out of its range
    assert jpeg[2:] != png[2:]
    assert cut[2:] != strict[2:]


def test_cutting_darkens_by_half_a_level() -> None:
    lr = np.random.default_rng(0).integers(60, 200, (8, 8, 3), dtype=np.uint8)
    darker = protocols.rounded(lr).astype(int) - protocols.truncated(lr)
    assert np.isin(darker, (-1, 0, 1, 2)).all()  # PIL rounds between its two passes too
    assert darker.mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(protocols.rounded(lr), resize_bicubic(lr, 256))


def test_a_wrong_call_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert protocols.main([]) == 2
    assert "usage: python -m tools.protocols DIR" in capsys.readouterr().err
