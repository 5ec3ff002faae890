"""Photographs in Parquet files of the Hugging Face image layout."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, Refused
from bench.testsets.archives import check_ratio
from bench.testsets.photographs import MAX_IMAGES, Photograph, row_id

ROWS = 1  # read at a time: many rows may share one photograph


@dataclass(frozen=True)
class ParquetSource:
    """Images of one or several Parquet files, in name order.

    An image is a struct of `bytes` and `path`. Paths may be absent or equal, so the id is the row's
    number over all files.
    """

    files: tuple[Path, ...]

    def ids(self, count: int | None) -> list[str]:
        rows = 0
        for path in self.files:
            with _open(path) as table:
                rows += table.metadata.num_rows
        if not rows:
            raise BenchError(f"{self.files[0]} holds no images.")
        if rows > MAX_IMAGES:
            raise BenchError(f"{self} holds more than {MAX_IMAGES:,} images: give a part of it.")
        return [row_id(row) for row in range(rows)]

    def photographs(self, wanted: Collection[str]) -> Iterator[Photograph]:
        row, left = 0, len(wanted)
        for path in self.files:
            with _open(path) as table:
                for image in self._images(table, path):
                    name = row_id(row)
                    row += 1
                    if name in wanted:
                        yield photograph(name, image, str(path))
                        left -= 1
                    if not left:
                        return

    def __str__(self) -> str:
        return ", ".join(map(str, self.files))

    def _images(self, table: Any, path: Path) -> Iterator[Any]:
        column = _image_column(table.schema_arrow, path)
        for group in map(table.metadata.row_group, range(table.metadata.num_row_groups)):
            for part in map(group.column, range(group.num_columns)):
                if part.path_in_schema.startswith(f"{column}."):
                    packed, unpacked = part.total_compressed_size, part.total_uncompressed_size
                    check_ratio(path, part.path_in_schema, unpacked, packed)
        for batch in table.iter_batches(ROWS, columns=[column]):
            yield from batch.column(0).to_pylist()


def photograph(name: str, image: Any, where: str) -> Photograph:
    """Return the photograph of a row.

    Raises:
        BenchError: the row holds none, or only a path to it.
    """
    data = image.get("bytes") if isinstance(image, dict) else None
    if not data:
        raise Refused(f"Row {int(name)} of {where} holds no image's bytes: it can't be used.")
    source = Path(str(image.get("path") or name)).name
    return Photograph(name, f"row {int(name)} of {where}", source, data)


def _image_column(schema: Any, path: Path) -> str:
    """Return the column "image", else the only column of image structs."""
    import pyarrow as pa

    fits = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    if "image" in fits:
        return "image"
    if len(fits) != 1:
        raise BenchError(
            f"{path} has no column `image` of bytes and path, as the Hugging Face layout has: "
            f"its columns are {', '.join(schema.names)}."
        )
    return str(fits[0])


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            yield table
    except (pa.ArrowException, OSError, ValueError) as error:  # the last: a path that is no text
        raise Refused(f"{path} is damaged or can't be read ({error}).") from None
