"""Where checkpoints lie: those that ship, and those in the cache folder."""

from pathlib import Path

from bench.errors import BenchError
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


def find_prior(size: int) -> Path:
    """The prior for images of this size: an embedded one, else the record `prior-<size>`.

    Raises:
        BenchError: there is none here, with how to get or avoid needing it.
    """
    name = f"prior-{size}"
    if (path := checkpoints() / f"{name}.safetensors").is_file():
        return path
    way_out = "or prepare the test set at the embedded prior's size with `--size 64`."
    if name not in records():
        raise BenchError(
            f"There is no prior for {size} px: train one with `bench train prior --size {size} "
            f"--data FACES --out DIR` and give it with `--prior`, {way_out}"
        )
    try:
        return find_public(name)
    except BenchError as error:
        reason = str(error).removesuffix(".")
        raise BenchError(f"The prior for {size} px is missing: {reason}, {way_out}") from None


def find_corrector(size: int, scale: int) -> Path:
    """The Corrector for images of this size at this scale.

    Raises:
        BenchError: there is none here, with the command that trains it.
    """
    name = f"corrector-{size}-x{scale}.safetensors"
    for folder in (checkpoints(), cache_folder()):
        if (path := folder / name).is_file():
            return path
    what = f"--scale {scale}" if scale > 1 else "--degradation blind"
    raise BenchError(
        f"There is no Corrector for {size} px at x{scale} (none was ever published): train one "
        f"with `bench train crt --size {size} {what} --data FACES --out DIR` and give it "
        "with `--corrector`."
    )
