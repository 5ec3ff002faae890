"""A small external program: enlarges PNG files by repeating pixels, or misbehaves on demand.

Its environment has a NumPy of its own: version 0.1, made by the test.
"""

import argparse
import importlib
import itertools
import os
import struct
import sys
import time
import zlib
from pathlib import Path


def read_png(data: bytes) -> list[list[int]]:
    """Return the rows of an 8-bit RGB PNG, each a list of bytes."""
    width, height, *kind = struct.unpack(">IIBBBBB", data[16:29])
    assert kind == [8, 2, 0, 0, 0], "8-bit RGB, not interlaced"
    packed, place = b"", 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"IDAT":
            packed += data[place + 8 : place + 8 + length]
        place += length + 12
    raw, rows, above = zlib.decompress(packed), [], [0] * (3 * width)
    for number in range(height):
        start = number * (3 * width + 1)
        row = list(raw[start + 1 : start + 1 + 3 * width])
        for i in range(3 * width):
            left, corner = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
            guess = left + above[i] - corner
            paeth = min((left, above[i], corner), key=lambda near: abs(guess - near))
            row[i] += (0, left, above[i], (left + above[i]) // 2, paeth)[raw[start]]
            row[i] %= 256
        rows.append(row)
        above = row
    return rows


def png(rows: list[list[int]], kind: int = 2) -> bytes:
    """Return rows as a PNG of RGB or another colour type."""
    channels = {2: 3, 6: 4}[kind]
    header = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), 8, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = b""
    for name, content in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        chunks += struct.pack(">I", len(content)) + name + content
        chunks += struct.pack(">I", zlib.crc32(name + content))
    return b"\x89PNG\r\n\x1a\n" + chunks


def main() -> None:
    numpy = importlib.import_module("numpy")
    parser = argparse.ArgumentParser()
    for name in ("--input", "--output", "--mischief"):
        parser.add_argument(name)
    parser.add_argument("--scale", type=int)
    parser.add_argument("--brighter", type=int)
    given = parser.parse_args()
    print("numpy", numpy.__version__, "in", sys.prefix)
    print("environment", sorted(os.environ))
    offset = Path("weights.bin").read_bytes()[0] if Path("weights.bin").exists() else 0
    faces = sorted(Path(given.input).glob("*.png"))
    print("faces", *[face.name for face in faces])
    for number, face in enumerate(faces):
        added = given.brighter + offset
        rows = [
            [min(255, value + added) for value in numpy.repeat_pixels(row, given.scale)]
            for row in read_png(face.read_bytes())
            for _ in range(given.scale)
        ]
        content, name = png(rows), face.name
        if number == 1:
            if given.mischief == "crash":
                raise RuntimeError("out of memory, says the program")
            if given.mischief == "hang":
                print("going to sleep", flush=True)
                time.sleep(60)
            if given.mischief == "hoard":
                print(len(bytearray(2**28)), "bytes are filled", flush=True)
            while given.mischief == "babble":
                print("still at work")
            if given.mischief == "flood":
                for part in itertools.count():
                    Path(given.output, f"{part}.npy").write_bytes(bytes(2**20))
            if given.mischief == "admit":
                print("Failed inference")
            if given.mischief == "missing":
                continue
            if given.mischief == "small":
                content = png([row[: len(row) // 2] for row in rows])
            if given.mischief == "transparent":
                pixels = [[row[i : i + 3] for i in range(0, len(row), 3)] for row in rows]
                content = png([[v for rgb in row for v in (*rgb, 9)] for row in pixels], kind=6)
            if given.mischief == "text":
                content = b"no picture"
            if given.mischief == "truncated":
                content = content[:-40]
            if given.mischief == "extra":
                (Path(given.output) / "another.png").write_bytes(content)
            if given.mischief == "outside":
                (Path(given.output).parent / name).write_bytes(content)
                continue
            if given.mischief == "link":
                elsewhere = Path(given.output).parent / "elsewhere.png"
                elsewhere.write_bytes(content)
                (Path(given.output) / name).symlink_to(elsewhere)
                continue
        (Path(given.output) / name).write_bytes(content)


if __name__ == "__main__":
    main()
