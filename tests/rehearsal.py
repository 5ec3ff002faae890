"""A rehearsal of `bench reproduce` at 256 px, with random weights in released layouts.

python -m tests.rehearsal FOLDER

Every checkpoint has the file name, the names of tensors and the shapes of the released one. They
are served on this machine in place of the registry's addresses, so that download, licence,
training, all methods, all metrics and LaTeX run as they will for a user.
"""

import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.diffusion.unet import UNet, UNetConfig
from bench.metrics.features.backbones import BACKBONES, backbone_path
from bench.networks.kinds import KINDS
from bench.networks.registry import records
from bench.networks.restorers import Restorer
from bench.networks.torchvision_guard import import_torchvision
from tests.command import Outcome, bench
from tests.onnx_file import embedder
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


def restorer(name: str, **shape: Any) -> bytes:
    """Return a restorer; without `shape` its tensors have the released shapes."""
    kind = KINDS[name].architecture
    assert isinstance(kind, Restorer)
    torch.manual_seed(0)
    network = getattr(kind.import_architecture(), kind.name)(**shape)
    return _saved({"params_ema": network.state_dict()})


def musiq() -> bytes:
    """Return MUSIQ with the released shapes.

    Raises:
        ImportError: pyiqa is not installed.
    """
    import_torchvision()
    package: Any = importlib.import_module("pyiqa.archs.musiq_arch")
    torch.manual_seed(0)
    return _saved(package.MUSIQ(pretrained=False).state_dict())


def clip_rn50() -> bytes:
    """Return a narrow CLIP with a ResNet for CLIP-IQA, as TorchScript like the released file.

    Raises:
        ImportError: OpenAI's package is not installed.
    """
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its use of pkg_resources
        package: Any = importlib.import_module("clip.model")
    torch.manual_seed(0)
    network = package.CLIP(
        embed_dim=1024,
        image_resolution=224,
        vision_layers=(1, 1, 1, 1),
        vision_width=64,
        vision_patch_size=None,
        context_length=77,
        vocab_size=49408,
        transformer_width=512,
        transformer_heads=8,
        transformer_layers=1,
    ).eval()
    inputs = (torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit's age
        script: Any = torch.jit
        buffer = io.BytesIO()
        script.save(script.trace(network, inputs, check_trace=False), buffer)
    return buffer.getvalue()


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


@dataclass(frozen=True)
class Rehearsal:
    """Commands that make a published table from an empty machine.

    Attributes:
        suite: such as "table1".
        recipes: whose images the user has.
        options: of `bench reproduce`.
        before: commands that only a person gives, such as those that accept a licence.
    """

    suite: str
    recipes: tuple[str, ...]
    options: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()


TABLE_1 = Rehearsal(
    "table1", ("celeba",), before=(("weights", "get", "codeformer", "--accept-licence"),)
)
TABLE_2 = Rehearsal(
    "table2",
    ("lfw",),
    before=(
        ("weights", "get", "codeformer", "--accept-licence"),
        ("weights", "get", "musiq", "--accept-licence"),
        ("weights", "get", "inception-torch-fidelity"),
        ("reference", "add", "ffhq", "ffhq", "--extractor", "pytorch-fid"),
    ),
)

TABLE_3 = Rehearsal("table3", ("celeba",))
"""Made from the runs of Table 1."""


def rehearse(
    rehearsal: Rehearsal, folder: Path, made: Mapping[str, bytes], count: int
) -> Iterator[Outcome]:
    """Yield the outcomes: of the plan, of each command before, and of the table, made twice."""
    for recipe in rehearsal.recipes:
        photos(folder / recipe, count, 256)
    photos(folder / "ffhq", 32, 256)  # a batch of the paper's training
    command = [
        *("reproduce", rehearsal.suite, "--count", str(count), *rehearsal.options),
        *(word for name in rehearsal.recipes for word in ("--source", f"{name}={folder / name}")),
        *("--training-images", str(folder / "ffhq"), "--training-steps", "1"),
        *(word for setting in STEPS for word in ("--set", setting)),
    ]
    home = Path.cwd()
    with released(folder, made):
        os.chdir(folder)
        try:
            yield bench(*command, "--dry-run")
            for words in rehearsal.before:
                yield bench(*words)
            yield bench(*command)
            yield bench(*command)
        finally:
            os.chdir(home)


def measured(folder: Path, table: str) -> dict[str, dict[str, Any]]:
    """Return method -> metric -> value of the only table made; None where there is none."""
    (file,) = (folder / "results" / "reproduced").glob(f"{table}-*.json")
    methods = json.loads(file.read_text())["methods"]
    return {
        row["name"]: {metric: score["value"] for metric, score in row["scores"].items()}
        for row in methods
    }


def main(folder: Path) -> None:
    """Rehearse Tables 1, 2 and 3 with the released widths and print what a user would see."""
    folder.mkdir(parents=True)
    bring_backbones(folder)
    shared = {
        "prior-256": prior(RELEASED.channels),
        "codeformer": restorer("codeformer"),
        "inception-torch-fidelity": inception(folder),
    }
    faces = {"vgg-face": embedder(224, 4096)}
    others = {"gfpgan": restorer("gfpgan"), "musiq": musiq(), "clip-rn50": clip_rn50()}
    one = replace(TABLE_1, options=("--scale", "8", "16"))
    three = replace(TABLE_3, options=("--scale", "8", "16"))
    for rehearsal, made in ((one, shared), (three, shared | faces), (TABLE_2, shared | others)):
        for outcome in rehearse(rehearsal, folder, made, 4):
            print(outcome.out, outcome.err, f"exit code {outcome.code}", sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
