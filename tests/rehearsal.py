"""A rehearsal of `bench reproduce table1` at 256 px, with random weights in released layouts.

python -m tests.rehearsal FOLDER

Every checkpoint has the file name, the names of tensors and the shapes of the released one. They
are served on this machine in place of the registry's addresses, so that download, licence,
training, all methods, all metrics and LaTeX run as they will for a user.
"""

import hashlib
import io
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.diffusion.unet import UNet, UNetConfig
from bench.metrics.backbones import BACKBONES, backbone_path
from bench.networks.kinds import KINDS
from bench.networks.registry import records
from bench.networks.restorers import Restorer
from tests.command import Outcome, bench
from tests.random_inception import random_inception
from tests.registered import registry, table
from tests.serving import Site, site, whole
from tests.small import photos

RELEASED = UNetConfig(
    channels=128,
    channel_mult=(1, 1, 2, 2, 4, 4),
    res_blocks=1,
    attention_factors=(16,),
    head_channels=64,
)
"""Shape of ffhq_10m.pt."""

STEPS = (
    *("ddnm.steps=2", "ddrm.steps=2", "ilvr.steps=2", "ilvr.range_t=1", "dps.steps=2"),
    *("dr2.tau=98", "difface.steps=5", "pgdiff.steps=2", "dpi.steps=2"),
)
"""Settings under which every method takes two steps."""


def prior(width: int) -> bytes:
    """Return a prior in the layout of ffhq_10m.pt, of `width` channels."""
    torch.manual_seed(0)
    network = UNet(
        UNetConfig(
            channels=width,
            channel_mult=RELEASED.channel_mult,
            res_blocks=RELEASED.res_blocks,
            attention_factors=RELEASED.attention_factors,
            head_channels=RELEASED.head_channels,
        )
    )
    return _saved(network.state_dict())


def codeformer() -> bytes:
    """Return a CodeFormer with the released shapes."""
    kind = KINDS["codeformer"].architecture
    assert isinstance(kind, Restorer)
    torch.manual_seed(0)
    network = getattr(kind.import_architecture(), kind.name)()
    return _saved({"params_ema": network.state_dict()})


def inception(folder: Path) -> bytes:
    """Return torch-fidelity's Inception."""
    file = folder / "inception.pth"
    random_inception(file)
    return file.read_bytes()


def bring_backbones(folder: Path) -> None:
    """Copy LPIPS's backbones, which are never random, into the cache of a rehearsal.

    Raises:
        FileNotFoundError: they are not on this machine.
    """
    (folder / "cache").mkdir()
    for name in BACKBONES:
        shutil.copy(backbone_path(name), folder / "cache")


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@contextmanager
def released(folder: Path, made: Mapping[str, bytes]) -> Iterator[Site]:
    """Serve these checkpoints, by record, in place of the registry's, to an empty cache."""
    shipped = tomllib.loads(records._FILE.read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch, site() as web:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        tables = []
        for name, values in shipped.items():
            served = dict(values)
            if name in made:
                data = made[name]
                served |= {
                    "sources": [web.serve(f"/{served['file']}", whole(data))],
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                }
            tables.append(table(name, **served))
        with registry(folder, patch) as register:
            register("".join(tables))
            yield web


def rehearse(
    folder: Path, made: Mapping[str, bytes], count: int, scales: tuple[str, ...]
) -> Iterator[Outcome]:
    """Yield the outcome of each command that a user types, from an empty machine to the table."""
    photos(folder / "celeba", count, 256)
    photos(folder / "ffhq", 32, 256)  # a batch of the paper's training
    command = [
        *("reproduce", "table1", "--count", str(count), "--scale", *scales),
        *("--source", f"celeba={folder / 'celeba'}"),
        *("--training-images", str(folder / "ffhq"), "--training-steps", "1"),
        *(word for setting in STEPS for word in ("--set", setting)),
    ]
    home = Path.cwd()
    with released(folder, made):
        os.chdir(folder)
        try:
            yield bench(*command, "--dry-run")
            yield bench("weights", "get", "codeformer", "--accept-licence")
            yield bench(*command)
            yield bench(*command)
        finally:
            os.chdir(home)


def main(folder: Path) -> None:
    """Rehearse with the released widths and print what a user would see."""
    folder.mkdir(parents=True)
    bring_backbones(folder)
    steps: tuple[Callable[[], bytes], ...] = (
        lambda: prior(RELEASED.channels),
        codeformer,
        lambda: inception(folder),
    )
    names = ("prior-256", "codeformer", "inception-torch-fidelity")
    made = {name: step() for name, step in zip(names, steps, strict=True)}
    for outcome in rehearse(folder, made, 4, ("8", "16")):
        print(outcome.out, outcome.err, f"exit code {outcome.code}", sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
