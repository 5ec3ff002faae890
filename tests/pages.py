"""A report page for tests: made-up results, with markup in every external text."""

from pathlib import Path
from typing import Any

from bench.core.files import write_bytes
from bench.images import encode_png
from bench.report.page import Section
from bench.report.published.tables import PublishedValue
from bench.report.tables.table import Column, Row, Table
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.manifest import TestSet
from bench.testsets.recipe import plan_testset
from tests.small import RECIPE, picture, prepared, small_testset

FACES = 60
"""More than one page of the gallery."""

MARKUP = "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 1'> &amp; \"'"
IN_A_NAME = "<img src=x onerror='window.bad = 1'> &amp; \"' # %41 中"
"""Markup and the special characters of addresses, for names of files and folders."""

LPIPS = Column("lpips", "LPIPS", higher_is_better=False, digits=4)
PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
FID = Column("fid", "FID", higher_is_better=False, digits=2, per="set")
PRINTED = PublishedValue("tiny", 4, "dpi", "psnr", "21.00", "DPI, Table 1", "DPI(Ours)", MARKUP)


def run_of(root: Path, testset: TestSet, method: str, title: str, **facts: Any) -> Run:
    """Make a run whose images are noise, the same in all runs."""
    spec = RunSpec(
        method=method,
        revision=1,
        settings=facts.get("settings", {}),
        testset=testset.manifest.sha256,
        weights=facts.get("weights", {}),
        seed=facts.get("seed", 0),
    )
    provenance = {"commit": "abc123", "note": MARKUP}
    run = Run.open(root / "results", testset.name, title, spec, provenance)
    images = list(testset.entries)[: facts.get("images")]
    size = testset.manifest.plan.size
    run.write({image: picture(1000 + i, size) for i, image in enumerate(images)}, 1.0, 1)
    return run


def table(testset: TestSet, rows: list[Row], protocol: str = "strict") -> Table:
    """Return a table of three metrics."""
    count = len(testset.entries)
    columns = (LPIPS, PSNR, FID)
    return Table(
        testset.name, 4, count, 0, columns, tuple(rows), notes=(MARKUP,), protocol=protocol
    )


def large_section(root: Path) -> Section:
    """Return sixty faces, four runs of two methods, two protocols.

    The last face is the worst by DPI's LPIPS; the first is the worst by DPI's PSNR and by the other
    method's LPIPS. That method lacks the last image, and has no PSNR.
    """
    testset = small_testset(root, FACES)
    images = list(testset.entries)
    dpi = [run_of(root, testset, "dpi", "DPI", settings={"tau": tau}) for tau in (0, 100, 300)]
    other = run_of(root, testset, "other", MARKUP, images=FACES - 1)
    tables = []
    for shift, protocol in enumerate(("strict", "paper")):
        rows = [
            Row(
                "dpi",
                f"DPI (tau {tau})",
                {
                    "lpips": {image: tau + i / 1000 for i, image in enumerate(images)},
                    "psnr": {
                        image: 20.5 + shift + place + (i - (FACES - 1) / 2) / 100
                        for i, image in enumerate(images)
                    },
                },
                FACES,
                whole={"fid": 10.0 - place},
                published={"psnr": PRINTED} if tau == 300 else {},
            )
            for place, tau in enumerate((0, 100, 300))
        ]
        rows.append(
            Row(
                "other",
                MARKUP,
                {"lpips": {image: 1 - i / 1000 for i, image in enumerate(images[:-2])}},
                FACES - 1,
                missing={"psnr": MARKUP},
                undefined={"lpips": {images[-2]: MARKUP}},
            )
        )
        tables.append(table(testset, rows, protocol))
    return Section(testset, [*([run] for run in dpi), [other]], tables)


def hostile_section(root: Path) -> Section:
    """Return a test set of one face, both named with markup."""
    source = root / "hostile"
    write_bytes(source / f"{IN_A_NAME}.png", encode_png(picture(0)))
    plan = plan_testset("tiny", RECIPE, 4, 16, "bicubic", seed=0)
    testset = prepared(plan, source, root / "testsets" / IN_A_NAME).testset
    run = run_of(root, testset, "dpi", "DPI")
    (image,) = testset.entries
    row = Row("dpi", "DPI", {"lpips": {image: 0.5}}, 1)
    return Section(testset, [[run]], [table(testset, [row])])


def sections(root: Path) -> list[Section]:
    """Return both test sets."""
    return [large_section(root), hostile_section(root)]
