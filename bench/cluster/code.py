"""Whether two machines have the same code: the programs in a folder, and their hash."""

from pathlib import Path

from bench.core.files import sha256, sha256_json


def code() -> str:
    """Hash of all of our code and of the methods that ship, wherever they are installed."""
    package = Path(__file__).parents[1]
    rooms = (package, package.parent / "baselines")
    return sha256_json(
        [{name: sha256(text) for name, text in programs(room).items()} for room in rooms]
    )


def programs(folder: Path) -> dict[str, bytes]:
    """Python and TOML files in a folder, by their names below it."""
    files = sorted((*folder.rglob("*.py"), *folder.rglob("*.toml")))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
