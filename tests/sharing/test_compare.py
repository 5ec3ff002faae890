"""Two results side by side: pairs, differences of configuration, and what these did."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.core.errors import BenchError
from bench.core.files import sha256
from bench.report.statistics import holm, paired
from bench.sharing.compare import Comparison, compare
from bench.sharing.results import Result, choose, pairs
from bench.sharing.side_by_side import (
    comparisons_to_json,
    comparisons_to_markdown,
    comparisons_to_terminal,
)
from bench.store.run import set_sha256
from bench.store.schema import Record, RunSpec
from bench.testsets.manifest import Entry, Manifest, Plan
from tests.report.test_collect import measure

PSNR = measure("psnr", "psnr 1")
LPIPS = measure("lpips", "lpips 1", higher_is_better=False, digits=3, unit="")
FID = measure("fid", "fid 1", kind="set", higher_is_better=False)
PROVENANCE = {"commit": "a" * 40, "packages": {"torch": "2.1"}, "device": "cpu", "started": "now"}


def manifest(*images: str) -> Manifest:
    """The names of images stand for their files."""
    entries = tuple(
        Entry(f"id-{name}", f"hr/{name}", f"lr/{name}", sha256(name.encode()), "1", name, "2")
        for name in images
    )
    return Manifest(1, Plan("tiny", 16, 4, "bicubic", 0, (0, 0, 1, 1)), "none", entries)


def result(method: str = "m", values: str = "abcd", pictures: int = 0, **facts: Any) -> Result:
    """A result on images id-a and so on; pictures of another number are other ones."""
    made_of = facts.pop("manifest", manifest(*"abcd"))
    spec = RunSpec(
        method,
        facts.pop("revision", 1),
        facts.pop("settings", {}),
        facts.pop("testset", made_of.sha256 if made_of else "0" * 64),
        facts.pop("weights", {}),
        facts.pop("seed", 0),
        facts.pop("repetition", 0),
    )
    records = {
        f"id-{name}": Record(f"id-{name}", sha256(f"{name}{pictures}".encode()), 1.0, 5)
        for name in values
    }
    made = Result(
        name=f"{method}-{spec.identity[:12]}",
        place=Path("a.tar"),
        title=method.upper(),
        spec=spec,
        testset="tiny-16-x4",
        manifest=made_of,
        provenance={**PROVENANCE, **facts.pop("provenance", {})},
        memory=2.0**30,
        records=records,
        table=None,
    )
    return replace(made, **facts)


def scored(made: Result, *values: float, metric: str = "psnr", identity: str = "") -> Result:
    """With one more metric of each picture, or, of one value alone, of their whole set."""
    files = [record.sha256 for record in made.records.values()]
    images = list(made.records)
    if len(values) == 1 < len(files):
        files, images = [set_sha256(files)], [""]
    rows = pd.DataFrame(
        {
            "image": images,
            "metric": metric,
            "identity": identity or f"{metric} 1",
            "sr_sha256": files,
            "reference_sha256": "",
            "value": values,
            "note": "",
        }
    )
    return replace(made, table=pd.concat([t for t in (made.table, rows) if t is not None]))


def two(*changes: float) -> tuple[Result, Result]:
    """Two results, the second one with other values of PSNR than the first one's 20, 21 .."""
    before = [20.0 + i for i in range(4)]
    after = [value + change for value, change in zip(before, changes, strict=True)]
    return scored(result(), *before), scored(result(pictures=1, seed=1), *after)


def test_differences_are_paired_per_image() -> None:
    (psnr, *_) = compare(*two(3, -1, 2, 0), [PSNR]).measurements
    assert (psnr.one, psnr.other) == (21.5, 22.5)
    assert (psnr.better, psnr.worse, psnr.equal) == (2, 1, 1)
    assert psnr.change is not None
    assert psnr.change.difference == pytest.approx(1)
    assert psnr.largest(2) == [("id-a", 3), ("id-c", 2)]
    assert [image for image, _ in psnr.largest(9)] == ["id-a", "id-c", "id-b"]


def test_lower_is_better_where_it_is() -> None:
    one, other = (
        scored(made, *v, metric="lpips")
        for made, v in zip(
            two(0, 0, 0, 0), ((0.1, 0.2, 0.3, 0.4), (0.2, 0.3, 0.2, 0.4)), strict=True
        )
    )
    lpips = compare(one, other, [LPIPS]).measurements[0]
    assert (lpips.better, lpips.worse, lpips.equal) == (1, 2, 1)


def test_statistics_are_those_of_the_paired_differences() -> None:
    random = np.random.default_rng(0)
    one = random.normal(20, 5, 200)
    change = random.normal(0.5, 1, 200)
    found = paired(one, one + change)
    assert found.difference == pytest.approx(change.mean())
    assert found.interval is not None
    # The normal approximation; at N = 200 a bootstrap of 2000 agrees to about a tenth of the width.
    half = 1.96 * change.std(ddof=1) / math.sqrt(200)
    assert found.interval.low == pytest.approx(change.mean() - half, abs=half / 5)
    assert found.interval.high == pytest.approx(change.mean() + half, abs=half / 5)
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.effect is not None
    assert found.effect > 0.3
    assert paired(np.array([1.0]), np.array([3.0])).interval is None


def test_p_values_are_corrected_for_the_metrics() -> None:
    first, second = two(3, 1, 2, 4)
    one = scored(first, 0.1, 0.2, 0.3, 0.4, metric="lpips")
    other = scored(second, 0.2, 0.3, 0.2, 0.4, metric="lpips")
    measured = compare(one, other, [PSNR, LPIPS]).measurements[:2]
    raw = [made.change.p_value or 0 for made in measured if made.change]
    assert raw[0] == pytest.approx(0.125)  # four of four: 2 of the 16 signs are as far out
    assert [made.p_value for made in measured] == holm(raw) != raw


def test_infinite_values_are_counted_and_in_no_mean() -> None:
    one = scored(result(), 20, math.inf, math.inf, 22)
    other = scored(result(pictures=1, seed=1), 21, math.inf, 30, 23)
    comparison = compare(one, other, [PSNR])
    psnr = comparison.measurements[0]
    assert (psnr.one, psnr.other, psnr.left_out) == (21, 22, 2)
    assert (psnr.better, psnr.worse, psnr.equal) == (2, 1, 1)
    assert "2 images with an infinite value are excluded" in " ".join(comparison.notes)
    (whole,) = json.loads(comparisons_to_json([comparison], []))["comparisons"]
    assert whole["metrics"][0]["images"]["id-c"] == ["Infinity", 30]


def test_configuration_differences_are_named_and_told_apart() -> None:
    one = result(settings={"steps": 5, "eta": 0.5}, weights={"prior": "a" * 64})
    other = result(
        settings={"steps": 10, "eta": 0.5},
        weights={"prior": "b" * 64},
        seed=3,
        provenance={"packages": {"torch": "2.2"}, "gpu": "H", "started": "later", "dirty": True},
    )
    found = {d.name: (d.one, d.other, d.identity) for d in compare(one, other, []).differences}
    assert found == {
        "steps": ("5", "10", True),
        "prior": ("aaaaaaaa", "bbbbbbbb", True),
        "seed": ("0", "3", True),
        "torch (package)": ("2.1", "2.2", False),
        "gpu": (None, "H", False),
        "commit": ("aaaaaaaaaaaa", "aaaaaaaaaaaa with changes", False),
    }


def test_identical_pictures_are_counted() -> None:
    one, other = result(), result(provenance={"device": "cuda"})
    same = compare(one, other, [])
    assert same.identical == 4
    assert "byte-identical despite the differences" in same.notes[0]
    records = {**other.records, "id-a": replace(other.records["id-a"], sha256="0")}
    apart = compare(one, replace(other, records=records), [])
    assert apart.identical == 3
    assert "same identity, but 1 pictures differ: see the differences in code" in apart.notes[0]
    unexplained = compare(one, replace(one, records=records), [])
    assert "the recorded facts do not explain it" in unexplained.notes[0]


def test_of_an_unfinished_result_the_images_in_common_count() -> None:
    one = scored(result(), 20, 21, 22, 23)
    other = scored(result(values="bc", pictures=1, seed=1), 31, 32)
    comparison = compare(one, other, [PSNR])
    assert set(comparison.measurements[0].images) == {"id-b", "id-c"}
    assert "2 images that both have: A has 4, B 2" in comparison.notes[0]


def test_of_other_test_sets_images_of_the_same_files_are_compared() -> None:
    one = scored(result(values="abcd"), 20, 21, 22, 23)
    theirs = manifest(*"xdc")
    renamed = tuple(replace(entry, id=f"their-{entry.id}") for entry in theirs.images)
    theirs = replace(theirs, images=renamed)
    records = {f"their-id-{n}": Record(f"their-id-{n}", n, 1.0, 5) for n in "xdc"}
    other = scored(result(manifest=theirs, records=records), 50, 24, 24)
    comparison = compare(one, other, [PSNR, FID])
    assert comparison.images == {"id-c": "their-id-c", "id-d": "their-id-d"}
    assert comparison.measurements[0].images == {"id-c": (22, 24), "id-d": (23, 24)}
    assert "compared are the 2 images whose HR and LR files are the same" in comparison.notes[0]
    assert "test set" in {found.name for found in comparison.differences}


def test_test_sets_without_anything_in_common_are_refused() -> None:
    with pytest.raises(BenchError, match="without a common image"):
        compare(result(), result(manifest=manifest("x", "y"), values="xy"), [])
    with pytest.raises(BenchError, match="is missing, so common images cannot be found"):
        compare(result(), result(manifest=None), [])
    with pytest.raises(BenchError, match="have no image in common"):
        compare(result(values="a"), result(values="b"), [])


def test_a_metric_of_the_whole_set_has_one_value() -> None:
    one, other = (
        scored(result(), 30.0, metric="fid"),
        scored(result(pictures=1), 25.0, metric="fid"),
    )
    fid = compare(one, other, [FID]).measurements[0]
    assert (fid.one, fid.other, fid.change, dict(fid.images)) == (30, 25, None, {})


def test_values_are_compared_by_what_both_were_measured_by() -> None:
    one = scored(scored(result(), 1, 1, 1, 1, identity="psnr 0"), 2, 2, 2, 2)
    other = scored(scored(result(pictures=1), 4, 4, 4, 4), 5, 5, 5, 5, identity="psnr 0")
    assert compare(one, other, [PSNR]).measurements[0].other == 4
    older = measure("psnr", "psnr 9")
    assert compare(one, other, [older]).measurements[0].one in (1, 2)
    apart = scored(result(pictures=1), 7, 7, 7, 7, identity="psnr 3")
    comparison = compare(one, apart, [PSNR])
    assert not comparison.measurements[0].alike
    assert "PSNR was measured in different ways" in " ".join(comparison.notes)
    assert "A: psnr 1. B: psnr 3." in " ".join(comparison.notes)


def test_scores_of_other_pictures_are_left_out() -> None:
    one, other = two(1, 1, 1, 1)
    stale = replace(other, records=result(pictures=2).records)
    comparison = compare(one, stale, [PSNR])
    assert [made.column.name for made in comparison.measurements] == [
        *("seconds", "evaluations", "memory")
    ]
    assert "No metric has values for both" in comparison.notes[-1]


def test_pairs_are_of_one_identity_or_the_only_ones_of_a_method() -> None:
    a5, a10 = (result("a", settings={"steps": steps}) for steps in (5, 10))
    b, b_later, c = result("b"), result("b", revision=2), result("c")
    assert pairs([a5], [c]) == ([(a5, c)], [])
    assert pairs([a5, b], [b_later, a10, c]) == ([(a5, a10), (b, b_later)], [c])
    assert pairs([a5, a10, b], [a10, a5]) == ([(a5, a5), (a10, a10)], [b])
    assert pairs([a5, a10], [a10, b]) == ([(a10, a10)], [a5, b])
    newer = [result("a", settings={"steps": steps}, revision=2) for steps in (10, 5)]
    assert pairs([a5, a10], newer) == ([(a5, newer[1]), (a10, newer[0])], [])
    with pytest.raises(BenchError, match=f"name one of {b.name} and one of {a5.name}, {a10.name}"):
        pairs([b], [a5, a10])


def test_a_result_is_chosen_by_method_or_folder() -> None:
    results = [result("a"), result("a", seed=1), result("ab")]
    assert choose(results, "a", "x") == results[:2]
    assert choose(results, results[1].name[:8], "x") == [results[1]]
    with pytest.raises(BenchError, match=r"x has no result 'c': it holds a-"):
        choose(results, "c", "x")


def drawn(comparison: Comparison) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(comparisons_to_terminal([comparison], [result("alone")]), soft_wrap=True)
    return capture.get()


def test_every_form_says_the_same() -> None:
    comparison = compare(*two(3, -1, 2, 0), [PSNR])
    markdown = comparisons_to_markdown([comparison], [result("alone")])
    for text in (drawn(comparison), markdown):
        for part in ("21.50", "22.50", "+1.00", "id-a (+3.00)", "0 of 4", "Holm for 1 metrics"):
            assert part in text.replace("\\", "")
        assert "Without a counterpart: alone-" in text
    value = json.loads(comparisons_to_json([comparison], [result("alone")]))
    (made,) = value["comparisons"]
    psnr = made["metrics"][0]
    assert (psnr["a"], psnr["b"], psnr["difference"]) == (21.5, 22.5, 1)
    assert psnr["images"]["id-b"] == [21, 20]
    assert made["differences"] == [{"name": "seed", "a": "0", "b": "1", "identity": True}]
    assert value["alone"][0]["title"] == "ALONE"


def test_a_small_difference_is_not_printed_as_none() -> None:
    text = drawn(compare(*two(1e-5, 1e-5, 1e-5, 1e-5), [PSNR]))
    assert "+1.0e\N{MINUS SIGN}05" in text


def test_text_from_outside_is_harmless() -> None:
    evil = "=1\x1b[31m<script>|`x`"
    one, other = two(1, 2, 3, 4)
    settings = {evil: evil}
    odd = replace(other, title=evil, spec=replace(other.spec, settings=settings), place=Path(evil))
    comparison = compare(one, odd, [PSNR])
    assert "\x1b" not in drawn(comparison)
    markdown = comparisons_to_markdown([comparison], [odd])
    assert "\x1b" not in markdown
    assert "<script" not in markdown
    assert "\\x1b" not in str(json.loads(comparisons_to_json([comparison], [odd])))
