"""Repetitions of a run in one row."""

import math

import pytest

from bench.report.tables.repetitions import fold
from bench.report.tables.table import Column, Row, Table

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2)
FID = Column("fid", "FID", higher_is_better=False, digits=2, per="set")


def row(values: list[float], fid: float | None = None, **facts: object) -> Row:
    scores = {"psnr": {str(i): value for i, value in enumerate(values)}}
    whole = {} if fid is None else {"fid": fid}
    return Row("m", "M", scores, len(values), whole=whole, **facts)  # type: ignore[arg-type]


def test_one_repetition_is_its_own_row() -> None:
    alone = row([1.0, 2.0])
    assert fold([alone]) is alone


def test_images_are_averaged_over_repetitions_before_anything_else() -> None:
    folded = fold([row([20.0, 30.0], 5.0), row([22.0, 30.0], 6.0), row([24.0, 33.0], 7.0)])
    assert folded.scores["psnr"] == {"0": 22.0, "1": 31.0}
    assert folded.whole == {"fid": 6.0}
    psnr, fid = Table("set", 8, 2, 0, (PSNR, FID), (folded,)).cells[0]
    assert (psnr.value, psnr.count, psnr.repetitions) == (26.5, 2, 3)
    assert psnr.spread == pytest.approx(math.sqrt(3.25))  # of 25, 26 and 28.5
    assert fid.spread == 1.0


def test_an_image_counts_where_every_repetition_has_it() -> None:
    folded = fold([row([20.0, 30.0]), row([22.0])])
    assert folded.scores["psnr"] == {"0": 21.0}
    assert folded.images_done == 1
    (cell,) = Table("set", 8, 2, 0, (PSNR,), (folded,)).cells[0]
    assert cell.spread == pytest.approx(math.sqrt(2))


def test_what_a_repetition_lacks_is_absent_with_its_reason() -> None:
    lacking = row([22.0], missing={"fid": "It is incomplete."})
    folded = fold([row([20.0], 5.0), lacking])
    (cell,) = Table("set", 8, 1, 0, (FID,), (folded,)).cells[0]
    assert (cell.value, cell.reason, cell.spread) == (None, "It is incomplete.", None)
    assert fold([row([1.0]), Row("m", "M", {}, 0)]).scores == {}


def test_errors_and_undefined_images_are_kept() -> None:
    one = row([1.0], 5.0, errors={"fid": 1.0}, undefined={"psnr": {"7": "no face"}})
    other = row([1.0], 5.0, errors={"fid": 2.0}, undefined={"psnr": {"8": "no face"}})
    folded = fold([one, other])
    assert folded.errors == {"fid": 1.5}
    assert folded.undefined == {"psnr": {"7": "no face", "8": "no face"}}


def test_what_is_measured_between_repetitions_has_no_spread() -> None:
    folded = fold([row([0.3]), row([0.3])], between={"psnr"})
    (cell,) = Table("set", 8, 1, 0, (PSNR,), (folded,)).cells[0]
    assert (cell.value, cell.spread) == (0.3, None)
