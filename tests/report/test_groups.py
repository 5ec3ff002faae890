"""Values per group of images: groups.csv, the table of a group, and the gap between groups."""

import math
from pathlib import Path

import pytest

from bench.core.errors import BenchError, WrongUsage
from bench.report.tables.groups import group_tables, read_groups
from bench.report.tables.table import Column, Row, Table
from tests.command import bench as command
from tests.command import good

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
FID = Column("fid", "FID", higher_is_better=False, digits=2, per="set")
IMAGES = ["a", "b", "c", "d", "e"]


def row(name: str, *values: float) -> Row:
    scores = dict(zip(IMAGES, values, strict=False))
    return Row(name, name, {"psnr": scores}, len(scores), whole={"fid": 9.0})


def table(*rows: Row) -> Table:
    return Table("tiny, 16 px", 4, 5, 0, (PSNR, FID), rows)


GROUPS = {"old": ("a", "b"), "young": ("c", "d", "e")}


def test_a_group_has_the_mean_of_its_images() -> None:
    old, young, _ = group_tables(table(row("x", 20, 22, 30, 31, 32)), GROUPS)
    assert (old.test_set, old.images, young.images) == ("tiny, 16 px, old", 2, 3)
    assert old.cells[0][0].value == 21
    assert young.cells[0][0].value == 31
    assert old.cells[0][1].value is None
    assert "not per group" in old.cells[0][1].reason


def test_the_images_that_are_done_are_counted_per_group() -> None:
    old, young, _ = group_tables(table(row("x", 20, 22), row("y", 1, 1, 1, 1)), GROUPS)
    assert [row.images_done for row in old.rows] == [2, 2]
    assert [row.images_done for row in young.rows] == [0, 2]


def test_the_gap_is_the_largest_difference_with_its_error() -> None:
    gaps = group_tables(table(row("x", 20, 22, 30, 31, 32), row("y", 25, 25, 25, 25, 25)), GROUPS)[
        -1
    ]
    (first,), (second,) = gaps.cells
    assert [column.name for column in gaps.columns] == ["psnr"]
    assert first.value == 10
    assert second.value == 0
    # Variances 2 and 1 over 2 and 3 images.
    error = math.sqrt(2 / 2 + 1 / 3)
    assert first.interval is not None
    assert first.interval.high - first.interval.low == pytest.approx(2 * 1.96 * error, rel=1e-3)
    assert second.mark.value == "best"


def test_the_gap_is_over_images_that_every_method_has() -> None:
    gaps = group_tables(table(row("x", 20, 22, 30, 31, 90), row("y", 1, 1, 1, 1)), GROUPS)[-1]
    assert gaps.cells[0][0].value == 9.5  # without e, which y lacks


def test_a_group_of_one_image_has_no_gap() -> None:
    gaps = group_tables(table(row("x", 20, 22, 30)), {"one": ("a",), "two": ("b", "c")})[-1]
    assert "fewer than two images" in gaps.cells[0][0].reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,group\na,x\n", "lacks the columns image and group"),
        ("image,group\nz,x\n", "line 2: the test set has no image 'z'"),
        ("image,group\na,x\na,y\n", "line 3: a is in a group already"),
        ("image,group\na,\n", "line 2: a has no group"),
        ("image,group\na,x\nb,x\n", "names 1 group: give at least two"),
        ("", "lacks the columns"),
    ],
)
def test_a_wrong_file_is_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises((BenchError, WrongUsage), match=said):
        read_groups(tmp_path / "groups.csv", IMAGES)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(BenchError, match="can't be read as a CSV file"):
        read_groups(tmp_path / "groups.csv", IMAGES)


def test_the_command_prints_every_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('size = 64\nmetrics = ["psnr"]\n')
    good(*["prepare", "sample", "--scale", "8", "--count", "4"])
    good("run", "bicubic")
    lines = [f"face-{i:02},{'odd' if i % 2 else 'even'}" for i in range(4)]
    (tmp_path / "groups.csv").write_text("\n".join(["image,group", *lines, ""]))
    out = good("report", "--groups", "groups.csv").out
    assert "sample, 64 px, even, " in out
    assert "gap between even, odd" in out
    assert "It is above 0 by chance, too" in " ".join(out.split())
    assert "--strip and --groups" in command("report", "--table", "1", "--groups", "groups.csv").err
