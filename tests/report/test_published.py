"""The published tables: as printed, and damaged files refused."""

import math
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.report.published.tables import Published, published_value, read_published
from bench.report.tables.table import Column, Mark, Row, Table

FOLDER = Path(__file__).parents[2] / "results" / "published"

GOOD = """
[source]
paper = "DPI"
title = "A title"
venue = "AAAI-25"
label = "Table 1"
caption = "A caption"

[metrics]
fid = { title = "FID", higher_is_better = false }

[test_sets]
celeba = "CelebA1000"

[methods]
dpi = "DPI(Ours)"
difface = { label = "DiffFace", note = "A note." }

[values.celeba.x8]
dpi = { fid = 22.80 }
difface = { fid = 24 }

[values.celeba.real]
dpi = { fid = 1.5 }
"""


@pytest.fixture(scope="module")
def published() -> Published:
    return read_published(FOLDER)


def write(folder: Path, text: str = GOOD, name: str = "a.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# Copied by hand from the printed tables, apart from the files.
@pytest.mark.parametrize(
    ("family", "scale", "method", "metric", "printed"),
    [
        ("celeba", 8, "bicubic", "lpips", "0.2263"),
        ("celeba", 8, "sr3", "psnr", "25.48"),
        ("celeba", 8, "pgdiff", "fid", "22.49"),
        ("celeba", 8, "dpi", "lpips", "0.1401"),
        ("celeba", 16, "bicubic", "fid", "158.38"),
        ("celeba", 16, "dps", "psnr", "19.20"),
        ("celeba", 16, "difface", "fid", "31.80"),
        ("celeba", 16, "dpi", "psnr", "21.68"),
        ("lfw", None, "input", "musiq", "29.41"),
        ("lfw", None, "pgdiff", "is", "3.60"),
        ("webphoto", None, "gfpgan", "clipqa", "0.6742"),
        ("wider", None, "dpi", "clipqa", "0.7150"),
        ("celeba", 4, "dpi", "cs", "0.0807"),
        ("celeba", 8, "pgdiff", "acc", "90.8"),
        ("celeba", 16, "bicubic", "acc", "60.0"),
        ("celeba", 16, "dpi", "cs", "0.3449"),
        ("celeba", 8, "dpi", "ssim", "0.6881"),
        ("celeba", 8, "dpi-ablation-4", "fid", "53.60"),
        ("celeba", 8, "dpi-ablation-6", "ssim", "0.6335"),
    ],
)
def test_numbers_are_as_printed(
    published: Published,
    family: str,
    scale: int | None,
    method: str,
    metric: str,
    printed: str,
) -> None:
    found = published_value(published, family, scale, method, metric)
    assert found is not None
    assert found.printed == printed
    assert found.value == float(printed)


@pytest.mark.parametrize(
    ("family", "scale", "method", "metric"),
    [
        ("lfw", None, "gfpgan", "fid"),
        ("wider", None, "vqfr", "musiq"),
        ("celeba", 4, "dpi", "lpips"),
        ("celeba", None, "dpi", "lpips"),
        ("celeba", 8, "gfpgan", "fid"),
    ],
)
def test_what_is_not_printed_is_absent(
    published: Published, family: str, scale: int | None, method: str, metric: str
) -> None:
    assert published_value(published, family, scale, method, metric) is None


def test_every_number_of_the_four_tables_is_there(published: Published) -> None:
    # Table 1: 11 methods x 2 scales x 3; Table 2: 9 x 12 less two methods' 4; Table 3: 9 x 6;
    # Table 4: 6 variants x 3.
    counts = {table.label: len(table.values) for table in published}
    assert counts == {"Table 1": 66, "Table 2": 100, "Table 3": 54, "Table 4": 18}


# Added up from the printed page, apart from the files.
SUMS_OF_TABLE_1 = {
    (8, "lpips"): 1.7904,
    (8, "fid"): 396.40,
    (8, "psnr"): 266.05,
    (16, "lpips"): 2.4531,
    (16, "fid"): 543.15,
    (16, "psnr"): 231.24,
}


def test_the_column_sums_of_table_1(published: Published) -> None:
    sums = {
        (scale, metric): math.fsum(
            value.value
            for value in published[0].values
            if (value.scale, value.metric) == (scale, metric)
        )
        for scale in (8, 16)
        for metric in ("lpips", "fid", "psnr")
    }
    assert sums == pytest.approx(SUMS_OF_TABLE_1, abs=1e-9)


def test_the_marks_of_table_1_are_the_paper_s(published: Published) -> None:
    """LPIPS at both scales is best for DPI, the text says; second is the next smallest."""
    printed = published[0]
    metric = printed.metrics["lpips"]
    for scale, runner_up in ((8, "sr3"), (16, "ilvr")):
        rows = [
            Row(v.method, v.method_label, {"lpips": {"all": v.value}}, 1)
            for v in printed.values
            if (v.scale, v.metric) == (scale, "lpips")
        ]
        column = Column("lpips", metric.title, metric.higher_is_better, 4)
        grid = Table("CelebA1000", scale, 1, 0, (column,), tuple(rows)).cells
        marks = {line[0].mark: row.name for row, line in zip(rows, grid, strict=True)}
        assert (marks[Mark.BEST], marks[Mark.SECOND]) == ("dpi", runner_up)


def test_directions_are_those_of_the_printed_arrows(published: Published) -> None:
    directions = {
        name: metric.higher_is_better
        for table in published
        for name, metric in table.metrics.items()
    }
    assert {name for name, higher in directions.items() if not higher} == {"lpips", "fid", "cs"}
    assert {name for name, higher in directions.items() if higher} == {
        *("psnr", "ssim", "is", "musiq", "clipqa", "acc")
    }


def test_a_value_says_where_it_is_from_and_how_the_row_is_labelled(
    published: Published,
) -> None:
    found = published_value(published, "celeba", 8, "difface", "fid")
    assert found is not None
    assert found.source == "DPI (AAAI-25), Table 1"
    assert found.method_label == "DiffFace"
    assert "DifFace" in found.note
    ours = published_value(published, "celeba", 8, "dpi", "fid")
    assert ours is not None
    assert (ours.method_label, ours.note) == ("DPI(Ours)", "")


def test_a_file_is_read_to_the_digit(tmp_path: Path) -> None:
    read = read_published(write(tmp_path))
    assert {(v.scale, v.method, v.printed) for v in read[0].values} == {
        (8, "dpi", "22.80"),
        (8, "difface", "24"),
        (None, "dpi", "1.5"),
    }
    assert read[0].test_sets == {"celeba": "CelebA1000"}
    assert read[0].selections["difface"].label == "DiffFace"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[source]", "[sources]", r"has no 'sources': did you mean 'source'\?"),
        ("caption =", "captoin =", r"has no 'captoin': did you mean 'caption'\?"),
        ('venue = "AAAI-25"', "", "lacks 'venue'"),
        ('venue = "AAAI-25"', "venue = 25", "source.venue is 25, but must be a string"),
        (
            'caption = "A caption"',
            'caption = "C"\nnotes = "one"',
            "notes is 'one', but must be a list",
        ),
        (
            "higher_is_better = false",
            "higher = false",
            "has no 'higher': known are title, higher_is_better",
        ),
        (
            "higher_is_better = false",
            'higher_is_better = "no"',
            "higher_is_better is 'no', but must be true or false",
        ),
        (
            'fid = { title = "FID", higher_is_better = false }',
            'fid = "FID"',
            "metrics.fid is 'FID', but must be a table",
        ),
        (
            "dpi = { fid = 22.80 }",
            "dip = { fid = 22.80 }",
            r"x8\] has no 'dip': did you mean 'dpi'\?",
        ),
        ("dpi = { fid = 22.80 }", "dpi = { fd = 22.80 }", r"has no 'fd': did you mean 'fid'\?"),
        ("dpi = { fid = 22.80 }", "dpi = { zzzz = 1 }", "known are fid"),
        ("dpi = { fid = 22.80 }", "dpi = 22.80", "x8.dpi is '22.80', but must be a table"),
        ("dpi = { fid = 22.80 }", 'dpi = { fid = "/" }', '"/" is not a number'),
        ("dpi = { fid = 22.80 }", "dpi = { fid = nan }", "is not a number"),
        ("dpi = { fid = 22.80 }", "dpi = { fid = true }", "fid is True, but must be a"),
        ("[values.celeba.x8]", "[values.celba.x8]", r"has no 'celba': did you mean 'celeba'\?"),
        ("[values.celeba.x8]", "[values.celeba.8x]", '"8x" is not a scale'),
        ("[values.celeba.x8]", "[values.celeba.x0]", '"x0" is not a scale'),
        ('note = "A note."', 'nota = "A note."', "did you mean 'note'"),
        ('dpi = "DPI(Ours)"', "dpi = 3", "methods.dpi is 3, but must be"),
        ("[source]", "[source", "can't be read"),
    ],
)
def test_a_damaged_file_is_refused_with_the_way_out(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(BenchError, match=message) as caught:
        read_published(write(tmp_path, GOOD.replace(old, new, 1)))
    assert "a.toml" in str(caught.value)


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match="can't be read"):
        read_published(tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no published table"):
        read_published(tmp_path)
    with pytest.raises(BenchError, match="holds no published table"):
        read_published(tmp_path / "absent")


def test_two_tables_may_agree_but_not_contradict(tmp_path: Path) -> None:
    write(tmp_path)
    second = GOOD.replace("Table 1", "Table 4").replace("22.80", "22.8")
    found = published_value(
        read_published(write(tmp_path, second, "b.toml")), "celeba", 8, "dpi", "fid"
    )
    assert found is not None
    assert found.source.endswith("Table 1")
    write(tmp_path, second.replace("22.8", "22.9"), "b.toml")
    with pytest.raises(BenchError, match=r"Table 1 and .* Table 4 give 22\.80 and 22\.9"):
        read_published(tmp_path)
