"""`python -m tools.bicubic FOLDER...`: print the Bicubic rows of prepared test sets, as Markdown.

Each row compares the PSNR of PIL's bicubic upsampling with the value printed in the DPI paper. The
output is the table in docs/howto/test-sets.md.
"""

import sys
from pathlib import Path

import numpy as np

from bench import metrics
from bench.core.paths import resource
from bench.images import resize_bicubic
from bench.report.published.tables import published_value, read_published
from bench.testsets.manifest import TestSet, open_testset

HEAD = """\
| test set | images | identity | PSNR of Bicubic (dB) | paper |
| --- | --- | --- | --- | --- |"""


def main(folders: list[str]) -> None:
    """Print a row per test set, in the order given."""
    print(HEAD)
    for folder in folders:
        print(row(open_testset(Path(folder))))


def row(testset: TestSet) -> str:
    """Return the row of a test set: name, images, identity, mean PSNR and the paper's value."""
    plan = testset.manifest.plan
    values = [
        metrics.find("psnr").score(
            [resize_bicubic(testset.lr(image), plan.size)], [testset.hr(image)]
        )[0]
        for image in testset.entries
    ]
    cells = (
        testset.name,
        str(len(values)),
        f"`{testset.manifest.sha256[:12]}`",
        f"{np.mean(values):.2f}",
        published(plan.recipe, plan.scale, plan.size),
    )
    return f"| {' | '.join(cells)} |"


def published(recipe: str, scale: int, size: int) -> str:
    """Return the value for Bicubic at 256 px in the paper's Table 1, as printed, or a dash."""
    tables = read_published(resource("results/published"))
    found = published_value(tables, recipe, scale, "bicubic", "psnr")
    return found.printed if found and size == 256 else "-"


if __name__ == "__main__":
    main(sys.argv[1:])
