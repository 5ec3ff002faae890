"""Tables on disk: Parquet files, whole or absent, with a seal."""

import io
from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.files import BLANK, SEAL, is_sealed, seal, write_bytes


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        BenchError: it can't be read, or as `parse_table`.
        FileNotFoundError: there is none.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}.") from None
    return parse_table(data, str(path))


def parse_table(data: bytes, where: str) -> pd.DataFrame:
    """The table that a Parquet file's bytes hold; `where` names its place.

    Raises:
        BenchError: it is damaged, or not as `write_table` sealed it.
    """
    try:
        if is_sealed(data) is False:
            raise ValueError("it has changed since it was written")
        return pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - what pandas notes in the file may be damaged, too
        raise BenchError(f"{where} is damaged ({error}): remove it and run again.") from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file atomically, with a seal among its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**arrow.schema.metadata, SEAL: BLANK}), buffer)
    write_bytes(path, seal(buffer.getvalue()))
