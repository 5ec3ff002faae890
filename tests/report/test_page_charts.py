"""Drawings of the page: trade-offs, distributions and paired comparisons."""

import itertools
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest

from bench.report.page import Section, render
from bench.report.page.charts import DOTS, ENDS, charts_of
from bench.report.statistics import holm, paired
from bench.report.tables.table import Column, Row, Table
from tests.pages import IN_A_NAME, MARKUP, sections

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
ACC = Column("acc", "ACC", higher_is_better=True, digits=1, unit="%")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Section:
    return sections(tmp_path_factory.mktemp("charts"))[0]


def of(large: Section, *rows: Row, columns: tuple[Column, ...] = (PSNR,)) -> Section:
    """The section with another table."""
    images = len(large.testset.entries)
    table = Table("tiny", 4, images, 0, columns, rows)
    return replace(large, groups=large.groups[: len(rows)], tables=[table])


def row(large: Section, name: str, shift: float = 0.0, nfe: float = 10.0) -> Row:
    images = list(large.testset.entries)
    random = np.random.default_rng(len(name))
    values = 20 + shift + random.standard_normal(len(images))
    return Row(
        name,
        name.upper(),
        {
            "psnr": dict(zip(images, values.tolist(), strict=True)),
            "evaluations": dict.fromkeys(images, nfe),
        },
        len(images),
    )


def test_the_front_joins_what_no_other_beats_in_both(large: Section) -> None:
    rows = [
        row(large, "a", 0, 10),
        row(large, "bb", 5, 100),
        row(large, "ccc", 2, 200),  # slower and worse than b
        row(large, "dddd", 9, 1000),
    ]
    (drawing,) = charts_of([of(large, *rows)])[0].tradeoffs
    assert drawing.cost.startswith("NFE")
    front = [point.split(",")[0] for point in drawing.front.split()]
    dots = [f"{dot.x:.1f}" for dot in drawing.dots]
    assert front == [dots[0], dots[1], dots[3]]
    # The axis is logarithmic: ten times as much is always as far.
    xs = [dot.x for dot in drawing.dots]
    assert xs[1] - xs[0] == pytest.approx(xs[3] - xs[1])
    assert drawing.dots[0].y > drawing.dots[3].y  # better is higher
    assert drawing.dots[2].words.startswith("CCC: 2")
    assert drawing.dots[2].words.endswith(" at 200 NFE")


def test_lower_is_better_turns_the_front_round(large: Section) -> None:
    down = replace(PSNR, higher_is_better=False)
    rows = [row(large, "a", 0, 10), row(large, "bb", 5, 100)]
    (drawing,) = charts_of([of(large, *rows, columns=(down,))])[0].tradeoffs
    assert len(drawing.front.split()) == 1


def test_every_face_is_a_dot_that_leads_to_it(large: Section) -> None:
    drawing, _ = charts_of([large])[0].distributions
    lane = drawing.lanes[0]
    images = list(large.testset.entries)
    linked = [parse_qs(dot.link.removeprefix("#")) for dot in lane.dots]
    assert sorted(link["face"][0] for link in linked) == images
    assert {link["left"][0] for link in linked} == {large.groups[0][0].folder.name}
    assert {link["set"][0] for link in linked} == {large.testset.name}
    xs = [dot.x for dot in lane.dots]
    assert xs == sorted(xs)
    assert min(xs) < lane.mean < max(xs)
    ends = [float(point.split(",")[1]) for point in lane.outline.split()]
    assert min(ends) < lane.y < max(ends)


def test_of_many_images_the_ends_are_dots(large: Section) -> None:
    values = {f"{i:04}": float(i) for i in range(DOTS + 1)}
    many = Row("a", "A", {"psnr": values}, len(values))
    (drawing,) = charts_of([of(large, many)])[0].distributions
    faces = [dot.words.split(":")[0] for dot in drawing.lanes[0].dots]
    assert faces == [f"{i:04}" for i in (*range(ENDS), *range(DOTS + 1 - ENDS, DOTS + 1))]


def test_yes_and_no_have_no_distribution(large: Section) -> None:
    verified = {image: 100.0 * (place % 2) for place, image in enumerate(large.testset.entries)}
    rows = Row("a", "A", {"acc": verified}, len(verified))
    assert charts_of([of(large, rows, columns=(ACC,))])[0].distributions == ()


def test_a_matrix_has_the_paired_comparison_of_every_pair(large: Section) -> None:
    rows = [row(large, "a"), row(large, "bb", 0.02), row(large, "ccc", 3)]
    (matrix,) = charts_of([of(large, *rows)])[0].matrices
    scores = [np.array(list(r.scores["psnr"].values())) for r in rows]
    pairs = list(itertools.combinations(range(3), 2))
    compared = [paired(scores[j], scores[i]) for i, j in pairs]
    p_values = holm([c.p_value or 1 for c in compared])
    for (i, j), expected, p in zip(pairs, compared, p_values, strict=True):
        there, back = matrix.rows[i][j], matrix.rows[j][i]
        assert there is not None
        assert back is not None
        assert there.text == f"{expected.difference:+.2f}"
        assert back.text == f"{-expected.difference:+.2f}"
        assert f"p = {p:.2g} after Holm" in there.details
        assert expected.interval is not None
        assert (
            f"(95 %: {expected.interval.low:+.2f} to {expected.interval.high:+.2f})"
            in there.details
        )
        assert (there.better, back.better) == ((None, None) if p >= 0.05 else (False, True))
    assert all(matrix.rows[i][i] is None for i in range(3))
    down = replace(PSNR, higher_is_better=False)
    (turned,) = charts_of([of(large, *rows, columns=(down,))])[0].matrices
    last = turned.rows[0][2]
    assert last is not None
    assert last.better is True


def test_a_column_of_one_method_has_no_matrix(large: Section) -> None:
    assert charts_of([of(large, row(large, "a"))])[0].matrices == ()


def test_texts_from_outside_stay_texts(large: Section, tmp_path: Path) -> None:
    page = render(sections(tmp_path))
    assert MARKUP not in page
    assert IN_A_NAME not in page
