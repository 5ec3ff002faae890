"""Hashes of the code, which all machines of a cluster must share."""

from pathlib import Path

from bench.core.files import sha256, sha256_json
from bench.core.paths import resource


def code() -> str:
    """Hash of all of our code and of the methods that ship, wherever they are installed."""
    rooms = (Path(__file__).parents[1], resource("baselines"))
    return sha256_json(
        [{name: sha256(text) for name, text in programs(room).items()} for room in rooms]
    )


def programs(folder: Path) -> dict[str, bytes]:
    """Python and TOML files in a folder, by their names below it; not what a wheel ships inside."""
    files = sorted((*folder.rglob("*.py"), *folder.rglob("*.toml")))
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {n: path.read_bytes() for n, path in named.items() if not n.startswith("shipped/")}
