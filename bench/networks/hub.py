"""Priors on the Hugging Face hub: downloaded and converted once, then used as hf:OWNER/NAME.

`bench weights get hf:OWNER/NAME` downloads what diffusers' `save_pretrained` wrote and converts it
into the cache; runs read that file and never connect.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from bench.core.errors import BenchError, WrongUsage
from bench.core.paths import HUB, cache_folder, cache_unusable, missing_packages
from bench.networks.checkpoints import convert_prior
from bench.networks.diffusers_unet import WEIGHTS
from bench.networks.download.connection import refuse_offline

_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w[\w.-]*)?")
_CONFIGURATIONS = ("config.json", "scheduler_config.json")


@dataclass(frozen=True)
class PublicPrior:
    """A known prior on the hub: title, licence of the weights, recipe of the training images."""

    title: str
    licence: str
    dataset: str


KNOWN: Mapping[str, PublicPrior] = {
    "google/ddpm-celebahq-256": PublicPrior(
        "Unconditional prior, CelebA-HQ at 256 px, of DDPM (Ho et al. 2020)", "Apache-2.0", "celeba"
    )
}
"""Face priors that are known to work, by their names on the hub."""


def chosen_file(choice: str) -> Path:
    """Return the file of a user's choice: a path, or hf:OWNER/NAME once it is in the cache.

    Raises:
        WrongUsage: hf: without OWNER/NAME.
        BenchError: the prior is not in the cache, with the command that downloads it.
    """
    if not choice.startswith(HUB):
        return Path(choice)
    path = hub_file(choice)
    if not path.is_file():
        raise BenchError(f"{choice} is not here: run `bench weights get {choice}`.")
    return path


def hub_file(choice: str) -> Path:
    """Return the path in the cache of hf:OWNER/NAME or hf:OWNER/NAME@REVISION.

    Raises:
        WrongUsage: the name has neither form.
    """
    name = choice.removeprefix(HUB)
    if not _NAME.fullmatch(name):
        raise WrongUsage(f"{choice} is not of the form hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
    return cache_folder() / f"hf-{name.replace('/', '--')}.safetensors"


def get_hub_prior(choice: str) -> Path:
    """Download and convert a prior unless it is in the cache.

    Raises:
        WrongUsage: hf: without OWNER/NAME.
        BenchError: offline, a package is missing, the hub has no such model, or it is not an
            unconditional prior on DDPM's linear schedule.
    """
    path = hub_file(choice)
    if path.is_file():
        return path
    if missing := missing_packages("diffusers", "diffusers", "huggingface_hub"):
        raise BenchError(f"A prior from the hub needs packages: {missing}.")
    if reason := cache_unusable():
        raise BenchError(reason)
    refuse_offline(choice)
    name, _, revision = choice.removeprefix(HUB).partition("@")
    hub: Any = import_module("huggingface_hub")
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    training: dict[str, Any] = {"hub": name}
    if name in KNOWN:
        training["dataset"] = KNOWN[name].dataset
    cache_folder().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache_folder(), prefix=".hf-") as folder:
        try:
            model = hub.model_info(name, revision=revision or None)
            training["revision"] = model.sha
            wanted = _files([file.rfilename for file in model.siblings])
            hub.snapshot_download(name, revision=model.sha, local_dir=folder, allow_patterns=wanted)
        except Exception as error:  # noqa: BLE001 - a network has many ways to fail
            said = str(error).strip().splitlines()
            raise BenchError(f"{choice} can't be downloaded: {' '.join(said[:1])}") from None
        try:
            convert_prior(Path(folder), None, path, training)
        except BenchError as error:
            raise BenchError(str(error).replace(folder, choice)) from None
    return path


def _files(offered: Sequence[str]) -> list[str]:
    """Return the files to download: configurations, and the weights in one format."""
    of_network = [name for name in offered if PurePosixPath(name).name in WEIGHTS]
    names = {PurePosixPath(name).name for name in of_network}
    preferred = next((name for name in WEIGHTS if name in names), None)
    return [name for name in offered if PurePosixPath(name).name in (*_CONFIGURATIONS, preferred)]
