"""Tables of strangers: what would take far more memory than its file is refused, and in little."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.errors import BenchError, Refused
from bench.core.tables import SMALL, parse_table, read_table, write_table

TEXT, ROWS = "x" * 100, 4_000_000
"""400 MB, in 50 KiB of file: much more, and a reader that took it would be this machine's end."""


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def repeated(text: str, rows: int) -> bytes:
    """A file of one text in all of its rows."""
    indices = pa.array(bytes(rows), pa.uint8()).cast(pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array([text]))
    return parquet(pa.table({"image": column}), store_schema=False)


READ = """
import resource, sys
import pandas, pyarrow.compute, pyarrow.parquet
from bench.core.errors import Refused
from bench.core.tables import parse_table

data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    parse_table(data, "odd")
except Refused as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_text_in_a_million_rows_is_refused_before_it_is_made() -> None:
    data = repeated(TEXT, ROWS)
    assert len(data) < 2**16
    done = subprocess.run([sys.executable, "-c", READ], input=data, capture_output=True, check=True)
    said, memory = done.stdout.decode().splitlines()
    assert said == "odd would decode to more than 100 times its size: do not use it."
    assert int(memory) < SMALL  # by then; the texts would have been six times that


def test_rows_of_nothing_are_refused_by_what_the_footer_says() -> None:
    rows = SMALL // 8 + 1
    data = parquet(pa.table({"value": pa.nulls(rows)}), row_group_size=rows)
    with pytest.raises(Refused, match="more than 100 times its size"):
        parse_table(data, "odd")
    lying = forged(
        data, rows, 2**21, lambda footer: footer.num_rows
    )  # its one group tells the truth
    with pytest.raises(Refused, match="more than 100 times its size"):
        parse_table(lying, "odd")


def test_pages_that_are_packed_more_tightly_than_ours_are_refused() -> None:
    data = parquet(pa.table({"image": ["x" * 10**7]}), compression="zstd", use_dictionary=False)
    with pytest.raises(BenchError, match=r"odd is damaged \(it uses ZSTD compression, which bench"):
        parse_table(data, "odd")


def test_texts_as_additions_to_the_one_before_are_refused() -> None:
    data = parquet(
        pa.table({"image": [TEXT] * 1000}),
        use_dictionary=False,
        column_encoding={"image": "DELTA_BYTE_ARRAY"},
    )
    with pytest.raises(BenchError, match="odd is damaged"):
        parse_table(data, "odd")


def test_a_column_that_is_longer_than_the_footer_says_is_refused() -> None:
    rows, fewer = 12_345, 12_300  # of as many bytes, as the footer writes them
    data = parquet(pa.table({"value": [1.5] * rows}))
    lying = forged(data, rows, fewer, lambda footer: footer.row_group(0).column(0).num_values)
    with pytest.raises(BenchError, match="a column differs in length from the table"):
        parse_table(lying, "odd")


def forged(data: bytes, number: int, other: int, where: Callable[[Any], int]) -> bytes:
    """A file whose footer says another number of as many bytes, where `where` finds it."""
    places = re.finditer(re.escape(varint(number)), data)
    files = (data[: p.start()] + varint(other) + data[p.end() :] for p in places)
    return next(f for f in files if where(pq.read_metadata(io.BytesIO(f))) == other)


def varint(number: int) -> bytes:
    """As Thrift's compact protocol writes a whole number."""
    number, out = 2 * number, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("column", [[[1, 2]], [{"a": 1}], [b"x"]], ids=["list", "struct", "bytes"])
def test_a_column_of_what_no_table_holds_is_refused(column: list[object]) -> None:
    with pytest.raises(BenchError, match=r"damaged \(odd holds .*, neither text nor numbers\)"):
        parse_table(parquet(pa.table({"odd": column})), "x")


def test_a_text_in_no_encoding_is_damage() -> None:
    data = parquet(pa.table({"image": ["face-0"]})).replace(b"face-0", b"\xbbace-0")
    with pytest.raises(BenchError, match=r"odd is damaged \(.*UTF8"):
        parse_table(data, "odd")


TABLES = {
    "texts and numbers": pd.DataFrame({"image": ["a", "b"], "value": [1.5, float("inf")]}),
    "what is not known": pd.DataFrame({"seconds": [None, 1.0], "note": ["a", None]}),
    "nothing known": pd.DataFrame({"evaluations": [None, None]}),
    "flags": pd.DataFrame({"done": [True, False]}),
    "no rows": pd.DataFrame({"image": ["a"], "value": [1]}).head(0),
    "no columns": pd.DataFrame(),
    "a long reason of every row": pd.DataFrame({"reason": ["too dark " * 100] * 70_000}),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_written_is_read_as_pandas_reads_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, TABLES[name])
    pd.testing.assert_frame_equal(read_table(path), pd.read_parquet(path))
