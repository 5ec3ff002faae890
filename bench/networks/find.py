"""Find a checkpoint: embedded, trained or downloaded."""

from pathlib import Path

from bench.core.errors import BenchError
from bench.core.paths import cache_folder, checkpoints
from bench.networks.kinds import find_kind
from bench.networks.registry.records import find_public, records


def find_network(name: str, size: int, scale: int) -> Path:
    """Find the network of a kind for results of this size and scale.

    Trained networks, which ship or were put into the cache folder, come before public ones.

    Raises:
        BenchError: no such network, with how to get it.
    """
    kind = find_kind(name)
    stem = kind.file_stem(size, scale)
    for folder in (checkpoints(), cache_folder()):
        if (path := folder / f"{stem}.safetensors").is_file():
            return path
    way_out = ""
    if name == "prior":
        way_out = ", or prepare the test set at the embedded prior's size with `--size 64`"
    if stem in records():
        try:
            return find_public(stem)
        except BenchError as error:
            raise BenchError(str(error).removesuffix(".") + f"{way_out}.") from None
    at, option = ("", "") if kind.every_scale else (f" at x{scale}", f" --scale {scale}")
    if name == "corrector" and scale == 1:
        option = " --degradation blind"
    raise BenchError(
        f"There is no {name} for {size} px{at}: train one with `bench train {kind.trained_by} "
        f"--size {size}{option} --data FACES --out DIR` and give it with "
        f"`--weights {name}=FILE`{way_out}."
    )
