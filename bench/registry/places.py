"""Where checkpoints lie: those that ship, and those in the cache folder."""

from pathlib import Path

from bench.errors import BenchError
from bench.kinds import TRAINED_BY, Kind, network_name
from bench.registry.records import Record, find_record, records
from bench.resources import cache_folder, checkpoints


def place(record: Record) -> Path:
    """Where the file of a record lies, or would lie."""
    return cache_folder() / record.file


def remedy(record: Record) -> str:
    """The command that brings the file here."""
    if record.sources:
        return f"bench weights get {record.name}"
    return f"bench weights add {record.name} FILE"


def find_public(name: str) -> Path:
    """The file of the public checkpoint of this name.

    Raises:
        WrongUsage: there is no such record.
        BenchError: it isn't here, with the command that gets it.
    """
    record = find_record(name)
    if (path := place(record)).is_file():
        return path
    where = "" if record.sources else f" download it from {record.by_hand} and"
    raise BenchError(f"{record.file} is not here:{where} run `{remedy(record)}`.")


def find_network(kind: Kind, size: int, scale: int) -> Path:
    """The network of a kind for results of this size at this scale: a trained or a public one.

    A trained one ships, or was put into the cache folder; see `bench.kinds.network_name`.

    Raises:
        BenchError: there is none here, with how to get it.
    """
    name = network_name(kind, size, scale)
    for folder in (checkpoints(), cache_folder()):
        if (path := folder / f"{name}.safetensors").is_file():
            return path
    way_out = ""
    if kind == "prior":
        way_out = ", or prepare the test set at the embedded prior's size with `--size 64`"
    if name in records():
        try:
            return find_public(name)
        except BenchError as error:
            raise BenchError(str(error).removesuffix(".") + f"{way_out}.") from None
    at, option = ("", "") if kind == "prior" else (f" at x{scale}", f" --scale {scale}")
    if kind == "corrector" and scale == 1:
        option = " --degradation blind"
    raise BenchError(
        f"There is no {kind} for {size} px{at}: train one with `bench train {TRAINED_BY[kind]} "
        f"--size {size}{option} --data FACES --out DIR` and give it with "
        f"`--weights {kind}=FILE`{way_out}."
    )
