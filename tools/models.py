"""Write docs/results/models.md: the embedded networks measured on unseen faces.

python -m tools.models --train ZIP --reference PRIOR --work DIR FACES...

FACES are folders of FFHQ-aligned faces; the last one is compared with unconditional samples. ZIP
holds the training images, from which the Wiener filter takes its spectrum. PRIOR is an earlier
prior, measured beside the new one. DIR keeps all results, so an interrupted command resumes.
"""

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.files import sha256_file
from bench.core.memory import keep_freed_memory
from bench.core.paths import checkpoints
from bench.diffusion.prior import Prior, x0_from_eps
from bench.diffusion.schedule import Schedule
from bench.diffusion.wiener import WienerFilter
from bench.images import read_image, to_model
from bench.training.data import load_training_images
from tools.measuring import bench, gather_faces, network_hashes, without_precision
from tools.samples import distance_table, load_prior

FILE = Path(__file__).parents[1] / "docs" / "results" / "models.md"
PRIOR = checkpoints() / "prior-64.safetensors"
FACES = 100
TESTSET = "faces-x8"
TIMESTEPS = (10, 50, 100, 200, 300, 500, 700, 900)
ABLATIONS = ('dpi.correction="none"', "dpi.tau=0")  # Table 4: without CRT, without stage II
SCHEDULE = Schedule.linear()


@dataclass(frozen=True)
class Denoising:
    """Mean squared errors of the estimates of eps and x0 at one timestep."""

    eps: float
    x0: float

    @property
    def psnr(self) -> float:
        """PSNR of x0_hat in dB, with a peak of 2 for the range [-1, 1]."""
        return 10 * math.log10(4 / self.x0)


def main(arguments: Sequence[str]) -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", nargs="+", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args(arguments)
    keep_freed_memory()
    work: Path = given.work.absolute()
    gather_faces([path.absolute() for path in given.faces], work / "faces", FACES)
    shutil.copyfile(FILE.parents[2] / "bench.toml", work / "bench.toml")
    ablations = ablation_table(work)
    names = sorted((work / "testsets" / TESTSET / "hr").glob("*.png"))
    hr = to_model([read_image(name) for name in names])
    denoising = denoising_table(hr, given.train, given.reference)
    samples = distance_table(work, given.faces[-1].absolute(), [given.reference, PRIOR])
    folders = " and ".join(path.name for path in given.faces)
    lines = [*head(folders), denoising, *samples, *ablations]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def denoising_table(hr: Tensor, train: Path, reference: Path) -> str:
    """Return the errors of the prior, a reference and Wiener filters on images [N, 3, 64, 64]."""
    images = load_training_images(train, hr.shape[-1])
    some = images.batch(torch.arange(0, len(images.pixels), 4))
    together = WienerFilter.fit(some)
    apart = WienerFilter.fit(some, colours_together=False)
    own = load_prior(PRIOR)
    other = load_prior(reference)
    lines = [
        "## The prior alone",
        "",
        (
            f"Mean squared error of the noise estimate on {len(hr)} faces, and PSNR of x0_hat. "
            f"Reference: `{reference.name}`, sha256 `{sha256_file(reference)[:16]}`. "
            "The Wiener filters use the mean and spectrum of the training images, per channel or "
            "jointly over channels; no linear filter is better than the joint one."
        ),
        "",
        "| t | error | reference | PSNR | Wiener, apart | | Wiener, together | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    generator = torch.Generator().manual_seed(0)
    for t in TIMESTEPS:
        noise = torch.randn(hr.shape, generator=generator)
        mine, theirs = denoise(own, hr, noise, t), denoise(other, hr, noise, t)
        cells = [str(t), f"{mine.eps:.5f}", f"{theirs.eps:.5f}", f"{mine.psnr:.2f} dB"]
        for wiener in (apart, together):
            linear = denoise_linearly(wiener, hr, noise, t)
            cells += [f"{linear.psnr:.2f} dB", f"{mine.psnr - linear.psnr:+.2f} dB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


@torch.no_grad()
def denoise(prior: Prior, hr: Tensor, noise: Tensor, t: int) -> Denoising:
    """Return the errors of a network's estimates, x0_hat clipped as in sampling."""
    alpha_bar = float(SCHEDULE.alpha_bar[t])
    x = math.sqrt(alpha_bar) * hr + math.sqrt(1 - alpha_bar) * noise
    eps = torch.cat([prior.predict(part, t, clip=False).eps for part in torch.split(x, 16)])
    x0_hat = x0_from_eps(SCHEDULE, x, eps, t).clamp(-1, 1)
    return Denoising(_mean_square(eps - noise), _mean_square(x0_hat - hr))


def denoise_linearly(wiener: WienerFilter, hr: Tensor, noise: Tensor, t: int) -> Denoising:
    """Return the errors of the Wiener filter's estimates, x0_hat clipped too."""
    alpha_bar = float(SCHEDULE.alpha_bar[t])
    variance = (1 - alpha_bar) / alpha_bar
    error = wiener.denoise(hr + math.sqrt(variance) * noise, variance) - hr
    clipped = (error + hr).clamp(-1, 1) - hr
    return Denoising(_mean_square(error) / variance, _mean_square(clipped))


def _mean_square(error: Tensor) -> float:
    return float(error.square().mean())


def ablation_table(work: Path) -> list[str]:
    """Run DPI and its ablations at x8 with bench.toml's settings; return the table."""
    prepare = ["prepare", "celeba", "--source", "faces", "--scale", "8", "--name", TESTSET]
    bench(work, *prepare)
    run = ["run", "--testset", TESTSET, "--precision", "bfloat16"]
    bench(work, *run, "ddnm", "dpi")
    for change in ABLATIONS:
        bench(work, *run, "dpi", "--set", change)
    report = bench(work, "report", "ddnm", "dpi", "--testset", TESTSET, "--json")
    return [
        "## Ablations of DPI (the paper's Table 4)",
        "",
        f"x8, {FACES} faces, networks in bfloat16.",
        "",
        *rows(json.loads(report)),
    ]


def rows(table: Any) -> list[str]:
    """Return a report's rows as Markdown."""
    columns = [f"{c['title']} {'↑' if c['better'] == 'higher' else '↓'}" for c in table["metrics"]]
    lines = [f"| | {' | '.join(columns)} |", f"|{' --- |' * (len(columns) + 1)}"]
    for method in table["methods"]:
        cells = [
            f"{method['scores'][c['name']]['value']:.{c['digits']}f}" for c in table["metrics"]
        ]
        lines.append(f"| {without_precision(method['title'])} | {' | '.join(cells)} |")
    return lines


def head(folders: str) -> list[str]:
    """Return the head of the file: what it shows, and the networks with their hashes."""
    today = datetime.now(UTC).date()
    return [
        "# The embedded networks, measured",
        "",
        (
            f"Written by `python -m tools.models` on {today}, on faces of {folders} that no "
            "network was trained on (people may be in both), cropped to 64 px in the framing of "
            "the training faces. [All methods](methods.md) at x4, x8 and x16."
        ),
        "",
        *network_hashes(),
        "",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
