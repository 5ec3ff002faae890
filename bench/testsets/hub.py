"""Photographs of a dataset on the Hugging Face hub, streamed."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bench.core.errors import BenchError
from bench.core.paths import HUB, install_command
from bench.networks.download.connection import refuse_offline
from bench.testsets.parquet import photograph
from bench.testsets.photographs import Photograph, row_id


@dataclass(frozen=True)
class HubSource:
    """Rows of one split in order; row numbers are the ids."""

    name: str
    split: str

    def ids(self, count: int | None) -> list[str]:
        splits = self._load().info.splits
        there = splits[self.split].num_examples if splits and self.split in splits else None
        known = [number for number in (there, count) if number is not None]
        if not known:
            raise BenchError(f"{self} does not say how many images it has: give --count.")
        return [row_id(row) for row in range(min(known))]

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        left = len(wanted)
        rows = enumerate(self._load())
        while left:  # stop here: asking for another row would fetch it
            try:
                row, values = next(rows)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - a network has many ways to fail
                raise BenchError(f"{self} cannot be read further ({error}).") from None
            if (name := row_id(row)) in wanted:
                yield photograph(name, values["image"], str(self))
                left -= 1

    def __str__(self) -> str:
        return f"{HUB}{self.name}:{self.split}"

    def _load(self) -> Any:
        refuse_offline(str(self))
        try:
            datasets: Any = import_module("datasets")  # not our folder of that name
        except ImportError:
            datasets = None
        if not hasattr(datasets, "load_dataset"):
            raise BenchError(
                f"Reading from the hub needs an extra package: run `{install_command('hub')}`, "
                "or give --source a folder or archive."
            )
        # Its log of every attempt would hide the error below.
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
        try:
            stream = datasets.load_dataset(self.name, split=self.split, streaming=True)
            return stream.select_columns(["image"]).cast_column(
                "image", datasets.Image(decode=False)
            )
        except Exception as error:  # noqa: BLE001 - a network has many ways to fail
            raise BenchError(f"{self} can't be opened ({error}).") from None
