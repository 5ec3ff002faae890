"""Frechet and kernel distances of a prior's unconditional samples to unseen faces."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.core.files import sha256_file, write_bytes
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior, sample
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.images import encode_png, to_pixels
from bench.networks.checkpoints import read_card, read_checkpoint
from tools.measuring import bench

TESTSET = "unseen"
METRICS = ("fd-vgg16", "kd-vgg16")
STEPS, BATCH = 50, 50


def distance_table(work: Path, faces: Path, priors: Sequence[Path]) -> list[str]:
    """Return the distances of as many samples as there are faces, as lines of Markdown.

    `faces` is a folder of FFHQ-aligned faces. The samples of a prior are imported as a run, which
    is found again by a later call.
    """
    bench(work, "prepare", "celeba", "--source", str(faces), "--scale", "8", "--name", TESTSET)
    names = sorted(path.stem for path in (work / "testsets" / TESTSET / "hr").glob("*.png"))
    titles = {}
    for path in priors:
        title = f"prior-{sha256_file(path)[:8]}"
        titles[title] = path.stem
        folder = work / "samples" / title
        draw(path, names, folder)
        bench(work, "import", title, str(folder), "--testset", TESTSET)
    wanted = [word for metric in METRICS for word in ("--metric", metric)]
    bench(work, "evaluate", "--testset", TESTSET, *wanted)
    table = json.loads(bench(work, "report", "--testset", TESTSET, "--json", *wanted))
    lines = [
        "## Unconditional samples",
        "",
        (
            f"Distances of {len(names):,} samples, {STEPS} ancestral steps in bfloat16, to the "
            f"{len(names):,} faces of {faces.name}."
        ),
        "",
        "| prior | sha256 | FD-VGG16 ↓ | KD-VGG16 ↓ |",
        "| --- | --- | --- | --- |",
    ]
    for method in table["methods"]:
        title = method["title"]
        if title in titles:
            values = [f"{method['scores'][metric]['value']:.4g}" for metric in METRICS]
            sha256 = title.removeprefix("prior-")
            lines.append(f"| {titles[title]} | `{sha256}` | {' | '.join(values)} |")
    return [*lines, ""]


def load_prior(path: Path) -> Prior:
    """Load a prior for inference."""
    checkpoint = read_checkpoint(path, "prior")
    return Prior(checkpoint.build(UNet), Schedule.linear(), checkpoint.card.prediction)


@torch.no_grad()
def draw(path: Path, names: Sequence[str], folder: Path) -> None:
    """Write a sample per name, of noise keyed by it; those in the folder are kept."""
    prior, size = load_prior(path).respaced(STEPS), read_card(path).size
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not (folder / f"{name}.png").exists()]
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        noise = KeyedNoise([StreamKey(0, name) for name in batch])
        x = noise.normal_like(torch.empty(len(batch), 3, size, size))
        with torch.autocast("cpu", torch.bfloat16):
            images = sample(prior, x, noise)
        for name, pixels in zip(batch, to_pixels(images), strict=True):
            write_bytes(folder / f"{name}.png", encode_png(pixels))
