"""The table of Bicubic rows: computed from the pictures, beside what the paper prints."""

from pathlib import Path

import numpy as np
import pytest

from bench.images import resize_bicubic
from tests.small import small_testset
from tools.bicubic import main, published


def test_a_row_has_the_mean_psnr_of_the_enlarged_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    testset = small_testset(tmp_path)
    main([str(testset.folder)])
    row = capsys.readouterr().out.splitlines()[-1]
    values = []
    for image in testset.entries:
        gap = resize_bicubic(testset.lr(image), 16).astype(float) - testset.hr(image)
        values.append(10 * np.log10(255**2 / np.mean(gap**2)))
    identity = testset.manifest.sha256[:12]
    assert row == f"| tiny-16-x4 | 4 | `{identity}` | {np.mean(values):.2f} | - |"


def test_the_paper_printed_two_of_them() -> None:
    assert [published("celeba", scale, 256) for scale in (4, 8, 16)] == ["-", "24.95", "21.65"]
    assert published("celeba", 8, 64) == published("ffhq", 8, 256) == "-"
