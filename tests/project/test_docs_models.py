"""The table of the embedded networks: what it measures, on things whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.diffusion.prior import Prior
from bench.diffusion.unet import UNet
from bench.diffusion.wiener import WienerFilter
from bench.images import read_image
from bench.networks.checkpoints import Card, write_checkpoint
from tests.small import TINY_PRIOR, photos
from tools import models
from tools.measuring import gather_faces
from tools.samples import draw

HR = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
NOISE = torch.randn(HR.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("t", [50, 300])
def test_an_error_of_the_noise_is_one_of_the_image_times_the_ratio(t: int) -> None:
    def off_by_a_tenth(x: Tensor, timesteps: Tensor) -> Tensor:
        assert timesteps.tolist() == [t] * len(x)
        eps = NOISE[: len(x)] + 0.1
        return torch.cat([eps, torch.zeros_like(eps)], dim=1)

    found = models.denoise(Prior(off_by_a_tenth, models.SCHEDULE), 0.5 * HR, NOISE, t)
    alpha_bar = models.SCHEDULE.alpha_bar[t]
    assert found.eps == pytest.approx(0.01, rel=1e-5)
    assert found.x0 == pytest.approx(0.01 * (1 - alpha_bar) / alpha_bar, rel=1e-4)
    assert found.psnr == pytest.approx(10 * math.log10(4 / found.x0))


def test_the_filter_is_judged_as_the_network_is() -> None:
    t = 300
    wiener = WienerFilter.fit(HR)

    def filtering(x: Tensor, timesteps: Tensor) -> Tensor:
        alpha_bar = float(models.SCHEDULE.alpha_bar[t])
        x0_hat = wiener.denoise(x / alpha_bar**0.5, (1 - alpha_bar) / alpha_bar)
        eps = (x - alpha_bar**0.5 * x0_hat) / (1 - alpha_bar) ** 0.5
        return torch.cat([eps, eps], dim=1)

    as_network = models.denoise(Prior(filtering, models.SCHEDULE), HR, NOISE, t)
    linear = models.denoise_linearly(wiener, HR, NOISE, t)
    assert linear.eps == pytest.approx(as_network.eps, rel=1e-4)
    assert linear.x0 == pytest.approx(as_network.x0, rel=1e-4)


def test_faces_come_in_equal_shares_from_all_folders(tmp_path: Path) -> None:
    folders = [photos(tmp_path / name, count=60, size=4) for name in ("a", "b")]
    gather_faces(folders, tmp_path / "faces", 100)
    names = sorted(path.name for path in (tmp_path / "faces").iterdir())
    assert names[:3] == ["000-a-face-0.png", "000-b-face-0.png", "001-a-face-1.png"]
    assert len(names) == 100  # any first of them hold as many of each
    first = (tmp_path / "faces" / names[1]).read_bytes()
    assert first == (tmp_path / "b" / "face-0.png").read_bytes()


def test_rows_have_each_metrics_digits_and_direction() -> None:
    table = {
        "metrics": [
            {"name": "psnr", "title": "PSNR", "better": "higher", "digits": 2},
            {"name": "lpips", "title": "LPIPS", "better": "lower", "digits": 4},
        ],
        "methods": [
            {"title": "DPI", "scores": {"psnr": {"value": 20.125}, "lpips": {"value": 0.1}}}
        ],
    }
    assert models.rows(table) == [
        "| | PSNR ↑ | LPIPS ↓ |",
        "| --- | --- | --- |",
        "| DPI | 20.12 | 0.1000 |",
    ]


def test_a_sample_follows_from_its_name_and_a_resumed_call_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "prior-16.safetensors"
    torch.manual_seed(0)
    network = UNet(TINY_PRIOR)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    write_checkpoint(path, network, Card("prior", 16, TINY_PRIOR))
    draw(path, ["a", "b"], tmp_path / "together")
    draw(path, ["b"], tmp_path / "apart")
    a, b, alone = (
        read_image(tmp_path / name).astype(int)
        for name in ("together/a.png", "together/b.png", "apart/b.png")
    )
    assert a.shape == (16, 16, 3)
    assert np.abs(a - b).max() > 20
    assert np.abs(b - alone).max() <= 4  # bfloat16 in batches of other sizes
    kept = tmp_path / "apart" / "b.png"
    kept.write_bytes(b"kept")
    draw(path, ["a", "b"], tmp_path / "apart")
    assert kept.read_bytes() == b"kept"
    assert (tmp_path / "apart" / "a.png").exists()
