"""HTML page: one folder that opens offline.

    index.html               tables, curves, provenance, and all that the gallery needs to know
    pictures/<hash>.png      every LR, restored and GT image, named by its hash
    thumbnails/<hash>.jpg    thumbnails of large images
    means.csv  images.csv    the numbers at full precision

Style, scripts and data are embedded in index.html, so that the file alone shows every number, and
its Content-Security-Policy can allow only these scripts and this style, by hash. Tables are visible
without scripts, which sort, filter and run the gallery.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.core.locks import locked
from bench.core.progress import notice
from bench.report.page.charts import WIDE, charts_of
from bench.report.page.content import (
    gallery_of,
    images_csv,
    methods_of,
    provenance_of,
    tables_of,
)
from bench.report.page.pictures import place_pictures
from bench.report.page.section import Section
from bench.report.page.sweeps import SIZE, sweeps_of
from bench.report.renderers.plain import to_csv

__all__ = ["Section", "write_page"]

HERE = Path(__file__).parent
MARK = b'<meta name="generator" content="bench">'
"""Marker that identifies a page of bench before it is replaced."""


def write_page(folder: Path, sections: Sequence[Section]) -> Path:
    """Write the page of test sets and results, and return the path of its index.html.

    An existing page is replaced; of its images those that are still shown are kept. The same
    results give the same bytes.

    Raises:
        BenchError: the folder holds another page than ours, or can't be written.
    """
    index = folder / "index.html"
    if index.is_file() and MARK not in index.read_bytes()[:2000]:
        raise BenchError(f"{index} exists and is not a page of bench: choose another folder.")
    with locked(folder, notice):
        place_pictures(folder, sections)
        means = to_csv([table for section in sections for table in section.tables])
        write_bytes(folder / "means.csv", means.encode())
        write_bytes(folder / "images.csv", images_csv(sections).encode())
        write_bytes(index, render(sections).encode())  # last, so that a page is whole or absent
    return index


def render(sections: Sequence[Section]) -> str:
    """Return index.html."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, *scripts = (
        (HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "gallery.js")
    )
    tables = tables_of(sections)
    return environment.get_template("page.html").render(
        mark=MARK.decode(),
        policy=_policy(scripts, style),
        style=style,
        scripts=scripts,
        data=_json_in_html(gallery_of(sections)),
        tables=tables,
        methods=methods_of(sections),
        published=any(cell.published for t in tables for row in t.rows for cell in row.cells),
        charts=charts_of(sections),
        wide=WIDE,
        sweeps=sweeps_of(sections),
        size=SIZE,
        provenance=provenance_of(sections),
    )


def _policy(scripts: Sequence[str], style: str) -> str:
    """Return the content security policy: these scripts, this style, local images.

    A page from disk has no origin of its own in every browser; `file:` lets it show its images.
    """
    allowed = " ".join(map(_source, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json_in_html(value: Any) -> str:
    """Return JSON that is safe inside an HTML element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c")
