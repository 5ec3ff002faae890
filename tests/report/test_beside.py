"""Published values beside ours, and the paper's tables by name: which runs, which facts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import WrongUsage
from bench.core.files import sha256_file
from bench.core.paths import checkpoints, resource
from bench.methods import find_method
from bench.metrics import all_metrics
from bench.networks.registry.records import find_record
from bench.report.published.tables import Published, read_published
from bench.report.tables.beside import claims, family_of, with_published
from bench.report.tables.contamination import known_as
from bench.report.tables.paper import choose_testsets, find_printed, paper_table
from bench.report.tables.runs import repeated, runs_on
from bench.report.tables.table import Cell, Table
from bench.report.verdict import Verdict
from bench.store.run import Run, set_sha256
from bench.testsets.manifest import Plan, TestSet
from tests.report.test_collect import Store, measure, readings, table_of, write
from tests.small import small_testset

TABLES = """
[source]
paper = "P"
title = "A title"
venue = "V"
label = "Table 1"
caption = "A caption"

[metrics]
quality = { title = "Q", higher_is_better = true, measure = "psnr", note = "Of bytes." }
fid = { title = "FID", higher_is_better = false }

[test_sets]
FAMILY = "Tiny9"

[methods]
ilvr = "ILVR"
ddnm = { label = "DDMN", note = "So printed." }
dpi = { label = "DPI (Ours)", settings = { weighted = true }, unlike = { tau = 0 } }
half = { label = "w/o Stage II", method = "dpi", settings = { tau = 0 } }

[values.FAMILY.x4]
ilvr = { quality = 21.50, fid = 9.0 }
ddnm = { quality = 30.0 }
dpi = { quality = 22.0 }
half = { quality = 23.0 }
"""

CONDITIONS = """
[P]
size = 16
images = 4
protocol = "strict"

[P.weights]
ilvr = { prior = "prior-256" }
dpi = { prior = "prior-256", corrector = "" }

[P.settings]
ilvr = { steps = { x4 = 7, x8 = 9 } }
dpi = { tau = 300 }
"""

PSNR = measure("psnr", "psnr 1")
FID = measure("fid", "fid 1", kind="set", higher_is_better=False)
PRIOR = str(find_record("prior-256").sha256)


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path)


@pytest.fixture
def store(testset: TestSet, tmp_path: Path) -> Store:
    return Store(testset, tmp_path / "results")


def published(folder: Path, conditions: str | None = CONDITIONS, family: str = "tiny") -> Published:
    (folder / "published").mkdir(exist_ok=True)
    (folder / "published" / "table1.toml").write_text(TABLES.replace("FAMILY", family))
    if conditions is not None:
        (folder / "published" / "conditions.toml").write_text(conditions)
    return read_published(folder / "published")


def scored(store: Store, method: str, images: int = 4, **facts: Any) -> Run:
    """A run whose PSNR is 20 to 23, and whose FID is 9.001."""
    run = store.run(method, images, **facts)
    files = [(r.image, r.sha256) for r in run.records().values()]
    rows: list[tuple[Any, ...]] = [
        (image, "psnr 1", file, "", 20.0 + i, "") for i, (image, file) in enumerate(files)
    ]
    rows.append(("", "fid 1", set_sha256(file for _, file in files), "", 9.001, ""))
    write(run, rows)
    return run


def ilvr(store: Store, **facts: Any) -> Run:
    """A run of ILVR under the paper's conditions, but for these."""
    return scored(store, "ilvr", **{"settings": {"steps": 7}, "weights": {"prior": PRIOR}, **facts})


def beside(testset: TestSet, runs: list[Run], tables: Published, protocol: str = "strict") -> Table:
    table = table_of(testset, runs, [PSNR, FID], protocol)
    first = [group[0] for group in repeated(readings(runs))]
    return with_published(table, testset, first, tables)


def first_row(table: Table) -> tuple[Cell, ...]:
    return table.cells[0]


def why(cell: Cell) -> list[str]:
    return [departure.text for departure in cell.departures if not departure.comparable]


def test_under_the_paper_s_conditions_there_is_a_verdict(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    psnr, fid = first_row(beside(testset, [ilvr(store)], published(tmp_path)))
    assert psnr.published is not None
    assert (psnr.published.printed, psnr.difference) == ("21.50", 0.0)
    assert psnr.verdict is Verdict.MATCH
    assert [departure.text for departure in psnr.departures] == ["Of bytes."]
    assert (fid.verdict, fid.departures) == (Verdict.MATCH, ())


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"settings": {"steps": 9}}, "steps: 9 (published: 7)."),
        ({"weights": {"prior": "a" * 64}}, "Prior: sha256 aaaaaaaa (published: prior-256)."),
    ],
)
def test_each_fact_of_a_run_that_differs_is_a_sentence(
    testset: TestSet, store: Store, tmp_path: Path, facts: dict[str, Any], sentence: str
) -> None:
    psnr, _ = first_row(beside(testset, [ilvr(store, **facts)], published(tmp_path)))
    assert (psnr.verdict, why(psnr)) == (Verdict.NOT_COMPARABLE, [sentence])


def test_an_embedded_network_is_called_by_its_name() -> None:
    file = checkpoints() / "prior-64.safetensors"
    assert known_as(sha256_file(file)) == "the embedded prior-64"
    assert known_as(PRIOR) == "prior-256"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("size = 16", "size = 256", "Resolution: 16 px (published: 256 px)."),
        ('"strict"', '"paper"', "Protocol: strict (published: paper)."),
    ],
)
def test_each_condition_that_differs_is_a_sentence(
    testset: TestSet, store: Store, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    tables = published(tmp_path, CONDITIONS.replace(old, new))
    for cell in first_row(beside(testset, [ilvr(store)], tables)):
        assert (cell.verdict, why(cell)) == (Verdict.NOT_COMPARABLE, [sentence])


def test_noise_forbids_to_compare(testset: TestSet, store: Store, tmp_path: Path) -> None:
    plan = replace(testset.manifest.plan, noise=0.05, noise_unit="signed")
    noisy = TestSet(testset.folder, replace(testset.manifest, plan=plan))
    psnr, _ = first_row(beside(noisy, [ilvr(Store(noisy, store.results))], published(tmp_path)))
    assert why(psnr) == ["Noise: 0.05, signed (published: none)."]


def test_other_faces_are_shown_beside_and_not_compared(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    tables = published(tmp_path, family="celeba")
    psnr, _ = first_row(beside(testset, [ilvr(store)], tables))
    assert why(psnr) == ["Test set: tiny (published: Tiny9)."]


def test_fewer_images_forbid_to_compare_sets_and_widen_the_interval_of_means(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    tables = published(tmp_path, CONDITIONS.replace("images = 4", "images = 9"))
    psnr, fid = first_row(beside(testset, [ilvr(store)], tables))
    assert psnr.verdict is Verdict.MATCH
    assert "Images: 4 (published: 9)." in [departure.text for departure in psnr.departures]
    assert (fid.verdict, why(fid)) == (Verdict.NOT_COMPARABLE, ["Images: 4 (published: 9)."])


def test_without_conditions_nothing_is_compared(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    psnr, _ = first_row(beside(testset, [ilvr(store)], published(tmp_path, None)))
    assert why(psnr) == ["The conditions of the published measurement are unknown."]


def test_a_network_that_was_never_published_is_to_be_known(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    weights = {"prior": PRIOR, "corrector": "c" * 64}
    run = scored(store, "dpi", settings={"weighted": True, "tau": 300.0}, weights=weights)
    psnr, fid = first_row(beside(testset, [run], published(tmp_path)))
    assert psnr.published is not None
    assert (psnr.published.method, psnr.published.printed) == ("dpi", "22.0")
    assert psnr.verdict is Verdict.MATCH
    assert "Corrector: another one, because the paper's was not published." in [
        departure.text for departure in psnr.departures
    ]
    assert fid.published is None


def test_a_variant_is_found_by_its_settings(testset: TestSet, store: Store, tmp_path: Path) -> None:
    run = scored(store, "dpi", settings={"weighted": True, "tau": 0.0}, weights={"prior": PRIOR})
    psnr, _ = first_row(beside(testset, [run], published(tmp_path)))
    assert psnr.published is not None
    assert psnr.published.method == "half"
    assert why(psnr) == []  # tau is what the variant is about
    other = scored(store, "dpi", settings={"weighted": False, "tau": 9.0})
    assert first_row(beside(testset, [other], published(tmp_path)))[0].published is None


def test_claims_are_the_cells_that_can_be_compared(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    tables = published(tmp_path)
    run = ilvr(store)
    other = scored(store, "ddnm")
    found = list(claims([beside(testset, [run, other], tables)]))
    assert [(claim.row.name, claim.column.name, claim.off) for claim in found] == [
        ("ilvr", "psnr", False),
        ("ilvr", "fid", False),
        ("ddnm", "psnr", True),
    ]
    assert str(found[2]) == (
        "PSNR of DDNM on tiny, 16 px at x4 is 21.50, published 30.0 (P (V), Table 1): off."
    )
    strict = CONDITIONS.replace("strict", "paper")
    assert list(claims([beside(testset, [run, other], published(tmp_path, strict))])) == []


def paper(testset: TestSet, store: Store, tables: Published) -> Table:
    printed = find_printed(tables, 1)
    return paper_table(printed, testset, store.results, [PSNR, FID], "strict")


def test_a_table_by_name_has_its_methods_in_its_order(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    scored(store, "dpi", settings={"weighted": True, "tau": 9.0})
    scored(store, "ilvr", settings={"steps": 50})
    scored(store, "bicubic")
    table = paper(testset, store, published(tmp_path))
    assert table.title == "P (V), Table 1"
    assert [row.title for row in table.rows] == ["ILVR", "DDMN", "DPI (Ours)", "w/o Stage II"]
    lines = table.cells
    assert [line[0].value for line in lines] == [21.5, None, 21.5, None]
    assert [line[0].published.printed for line in lines if line[0].published] == [
        *("21.50", "30.0", "22.0", "23.0")
    ]
    assert lines[1][0].reason == "Not run: `bench run ddnm --testset tiny-16-x4`."
    assert lines[3][0].reason == ("Not run: `bench run dpi --set dpi.tau=0 --testset tiny-16-x4`.")


def test_the_run_with_the_published_settings_is_the_row(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    for steps in (50, 20):
        scored(store, "ilvr", settings={"steps": steps})
    assert len(paper(testset, store, published(tmp_path)).rows) == 5  # none has them: all are shown
    scored(store, "ilvr", settings={"steps": 7})
    scored(store, "ilvr", settings={"steps": 7}, repetition=1)
    row, *_ = paper(testset, store, published(tmp_path)).rows
    assert (row.title, len(row.repetitions)) == ("ILVR", 2)
    assert [d.text for d in row.departures["psnr"]] == ["Of bytes."]


def test_no_run_has_two_rows(testset: TestSet, store: Store, tmp_path: Path) -> None:
    published(tmp_path)
    file = tmp_path / "published" / "table1.toml"
    overlapping = file.read_text().replace(", unlike = { tau = 0 }", "")
    file.write_text(overlapping)
    scored(store, "dpi", settings={"weighted": True, "tau": 0.0})
    scored(store, "dpi", settings={"weighted": False, "tau": 0.0})
    tables = read_published(file.parent)
    rows = {row.title: row for row in paper(testset, store, tables).rows}
    assert rows["DPI (Ours)"].repetitions == rows["w/o Stage II"].repetitions == ()
    assert rows["DPI (Ours)"].scores["psnr"] == rows["w/o Stage II"].scores["psnr"]


def test_what_was_not_measured_names_the_command(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    store.run("ilvr")
    reasons = {cell.reason for cell in first_row(paper(testset, store, published(tmp_path)))}
    command = "bench evaluate --testset tiny-16-x4 --protocol strict --metric psnr --metric fid"
    assert reasons == {f"Not measured: run `{command}`."}


def test_a_table_of_no_results_is_one_of_dashes(
    testset: TestSet, store: Store, tmp_path: Path
) -> None:
    table = paper(testset, store, published(tmp_path))
    assert all(cell.value is None for line in table.cells for cell in line)
    assert runs_on(testset, store.results) == []


PLAN = Plan("tiny", 16, 4, "bicubic", 0, (0.0, 0.0, 1.0, 1.0))


def test_test_sets_of_the_paper_s_come_before_others_of_its_scales(tmp_path: Path) -> None:
    printed = find_printed(published(tmp_path), 1)
    other = replace(PLAN, recipe="other")
    plans = {"b": PLAN, "a": replace(PLAN, size=8), "x8": replace(PLAN, scale=8), "o": other}
    assert choose_testsets(printed, plans) == ["a", "b"]
    assert choose_testsets(printed, {"o": other, "x8": replace(other, scale=8)}) == ["o"]
    noisy = replace(PLAN, noise=0.05, noise_unit="unit")
    assert choose_testsets(printed, {"b": PLAN, "noisy": noisy}) == ["b"]
    blind = replace(PLAN, degradation="blind", scale=1)
    with pytest.raises(WrongUsage, match=r"is prepared: `bench prepare tiny --scale 4` makes it"):
        choose_testsets(printed, {"blind": blind})


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"no published Table 9: known are Table 1\."):
        find_printed(published(tmp_path), 9)


def test_photographs_of_the_world_are_compared_with_their_own_alone(testset: TestSet) -> None:
    printed = find_printed(read_published(resource("results/published")), 2)

    def of(**facts: Any) -> str | None:
        manifest = replace(testset.manifest, plan=replace(PLAN, scale=1, **facts))
        return family_of(printed, TestSet(testset.folder, manifest))

    assert of(recipe="wider", degradation="real") == "wider"
    assert of(recipe="mine", degradation="real") is None
    assert of(recipe="wider", degradation="blind") is None


def test_every_selection_and_condition_of_ours_means_something() -> None:
    """A mistyped setting, metric, method or checkpoint would choose nothing and say nothing."""
    tables = read_published(resource("results/published"))
    selections = [selection for table in tables for selection in table.selections.values()]
    for table in tables:
        assert {metric.measure for metric in table.metrics.values()} <= all_metrics().keys()
        conditions = table.conditions
        assert conditions is not None
        methods = {selection.method for selection in selections}
        assert conditions.settings.keys() | conditions.weights.keys() <= methods
        for names in conditions.weights.values():
            assert all(find_record(name) for name in names.values() if name)
        for name in methods:
            known = find_method(name).settings(8)
            chosen = set().union(*(s.about for s in selections if s.method == name))
            for setting in chosen | conditions.settings_of(name, "x8").keys():
                assert hasattr(known, setting), (name, setting)
