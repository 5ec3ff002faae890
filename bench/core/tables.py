"""Tables on disk: atomic, sealed Parquet files.

A foreign file of a few kilobytes may repeat one long text in a million rows. A table is therefore
read in batches whose texts stay dictionary-encoded, and the decoded size is summed before any text
is decoded; a table that would expand far beyond the size of its file is refused.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.errors import BenchError, Refused
from bench.core.files import BLANK, SEAL, seal, seal_matches, write_bytes

MAX_RATIO = 100
"""Largest ratio of decoded to stored bytes; scores of many images reach about 20."""

SMALL = 2**26
"""Decoded bytes that are allowed at any ratio."""

CODECS = frozenset({"SNAPPY", "UNCOMPRESSED"})
"""Compression codecs of `write_table`; others allow decompression bombs."""

_CELL = 8  # bytes of a number, or of a text's length
_ROWS = 2**16  # read at a time


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        BenchError: the file can't be read, or as `parse_table`.
        FileNotFoundError: no such file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}.") from None
    return parse_table(data, str(path))


def parse_table(data: bytes, where: str) -> pd.DataFrame:
    """Read a table from a Parquet file's bytes; `where` names its place.

    Raises:
        BenchError: the table is damaged, or not as `write_table` sealed it.
        Refused: the table would take far more memory than its size explains.
    """
    try:
        if seal_matches(data) is False:
            raise ValueError("it has changed since it was written")
        return _decoded(data)
    except _Bomb:
        raise Refused(
            f"{where} would decode to more than {MAX_RATIO} times its size: do not use it."
        ) from None
    except Exception as error:  # noqa: BLE001 - what pandas notes in the file may be damaged, too
        raise BenchError(f"{where} is damaged ({error}): remove it and run again.") from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file atomically, with a seal among its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    sealed = arrow.replace_schema_metadata({**arrow.schema.metadata, SEAL: BLANK})
    buffer = io.BytesIO()
    pq.write_table(sealed, buffer, compression="snappy")
    write_bytes(path, seal(buffer.getvalue()))


class _Bomb(Exception):
    """A table decodes to implausibly many bytes."""


def _decoded(data: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    footer = pq.read_metadata(io.BytesIO(data))
    schema = footer.schema.to_arrow_schema()
    texts = _texts(schema)
    left = max(SMALL, MAX_RATIO * len(data))
    for column in _columns(footer):
        left -= max(_CELL * column.num_values, column.total_uncompressed_size)
    if left < 0:
        raise _Bomb
    pieces = []
    # Dictionary-encoded texts also rule out delta encoding, which gives each text relative to
    # the one before, in which a few bytes are as many long texts.
    with pq.ParquetFile(io.BytesIO(data), metadata=footer, read_dictionary=texts) as file:
        for batch in file.iter_batches(_ROWS):
            left -= sum(_length(column) for column in batch.columns)
            if left < 0:
                raise _Bomb
            batch.validate(full=True)  # such as that texts are UTF-8
            pieces.append(batch)
    return pa.Table.from_batches(pieces, file.schema_arrow).cast(schema).to_pandas()


def _texts(schema: Any) -> list[str]:
    """Return the text columns; all others are numbers.

    Raises:
        ValueError: a column is neither.
    """
    import pyarrow.types as kinds

    texts = []
    for field in schema:
        if kinds.is_string(field.type) or kinds.is_large_string(field.type):
            texts.append(field.name)
        elif not (kinds.is_primitive(field.type) or kinds.is_null(field.type)):
            raise ValueError(f"{field.name} holds {field.type}, neither text nor numbers")
    return texts


def _columns(footer: Any) -> Iterator[Any]:
    """Yield the metadata of every column chunk, row group by row group.

    Raises:
        ValueError: another packing than ours, or more values than rows.
    """
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            if column.compression not in CODECS:
                raise ValueError(
                    f"it uses {column.compression} compression, which bench does not write"
                )
            if not 0 <= column.num_values == group.num_rows:
                raise ValueError("a column differs in length from the table")
            yield column


def _length(column: Any) -> int:
    """Return the decoded bytes of a chunk of a text column without decoding it; 0 for numbers."""
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if not kinds.is_dictionary(column.type):
        return 0
    lengths = pc.binary_length(column.dictionary)
    return pc.sum(pc.take(lengths, column.indices)).as_py() or 0
