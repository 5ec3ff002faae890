"""Template of a new method: a copy of `starter.py` under another name."""

from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.methods import check_new_name
from bench.methods.authoring import starter


def write_method_file(name: str, folder: Path) -> Path:
    """Write the file of a new method into a folder of methods, and return it.

    Raises:
        BenchError: the name is taken, or can't be a name.
    """
    check_new_name(name)
    file = folder / f"{name.replace('-', '_')}.py"
    if file.exists():
        raise BenchError(f"{file} already exists and was not changed.")
    text = Path(starter.__file__).read_text(encoding="utf-8")
    text = text.replace(starter.METHOD.name, name)
    text = text.replace(starter.METHOD.title, name.replace("-", " ").title())
    write_bytes(file, text.encode())
    return file
