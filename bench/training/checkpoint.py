"""Training state on disk: atomic, and refused if it does not match."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.core.errors import BenchError
from bench.core.files import replacing

BYTES_PER_PARAMETER = 16  # weights, their average, and AdamW's two moments, in float32


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Training state on disk, and the facts that it must match.

    `facts` are settings, network, objective, and the hash of the data. They are kept and compared
    as JSON, since nothing but plain values is read back: a pickle may hold code.
    """

    path: Path
    facts: Mapping[str, Any]

    def load(self, changed_data: bool = False) -> dict[str, Any] | None:
        """Load the saved state, if any; `changed_data` accepts other images.

        Raises:
            BenchError: the state is damaged, or of a training with other facts, which are named.
        """
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as parts:  # torch compares no checksums
                if parts.testzip():
                    raise zipfile.BadZipFile
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            there = _as_json(state["facts"])
        except Exception as error:  # noqa: BLE001 - damaged pickles raise a wide variety of types
            raise BenchError(
                f"{self.path} is damaged ({type(error).__name__}): remove it to start again."
            ) from None
        facts = _as_json(self.facts)
        differing = [
            f"{name} {there.get(name)} there, {facts.get(name)} now"
            for name in sorted({*there, *facts} - {"data_sha256"})
            if there.get(name) != facts.get(name)
        ]
        if differing:
            raise BenchError(
                f"{self.path} belongs to another training run ({'; '.join(differing)}): "
                "give the same, or another --out."
            )
        if there["data_sha256"] != facts["data_sha256"] and not changed_data:
            raise BenchError(
                f"The images are not those that {self.path} was trained on: give the same, or add "
                "--changed-data to continue with these."
            )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state; on any error the former stays.

        Raises:
            BenchError: the folder can't be written, or the disk is full.
        """
        # Save to an open file: given a path, torch stores the temporary name in it.
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            try:
                torch.save({**state, "facts": _as_json(self.facts)}, file)
            except RuntimeError as error:  # torch turns an OSError into this
                raise error.__context__ or error from None

    def check_room(self, network: nn.Module) -> None:
        """Check that the state will fit on the disk.

        Raises:
            BenchError: too little space; two states exist while one replaces the other.
        """
        there = next(p for p in (self.path, *self.path.parents) if p.exists())
        free = shutil.disk_usage(there).free
        needed = 2 * BYTES_PER_PARAMETER * sum(p.numel() for p in network.parameters())
        if free < needed:
            raise BenchError(
                f"{self.path.parent} has {free / 2**20:.0f} MiB free, but the training's state "
                f"needs {needed / 2**20:.0f}: free some space, or give another --out."
            )


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain
