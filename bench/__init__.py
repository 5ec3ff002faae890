"""Measure face super-resolution: prepare test sets, run methods, score results, print tables.

    import bench

    testset = bench.prepare("sample", scale=8)
    bench.run(["bicubic", "ddnm"], testset)
    bench.evaluate(testset, metrics=["psnr", "lpips-vgg"])
    print(bench.table(testset).to_markdown())

Functions are imported on first use, so that `import bench` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api.images import metric, restore
    from bench.api.results import ResultTable, evaluate, run, table
    from bench.api.testsets import prepare, testset

_HOME = {
    "ResultTable": "results",
    "evaluate": "results",
    "metric": "images",
    "prepare": "testsets",
    "restore": "images",
    "run": "results",
    "table": "results",
    "testset": "testsets",
}
"""Public name -> module of bench/api that defines it."""

__all__ = [
    "ResultTable",
    "evaluate",
    "metric",
    "prepare",
    "restore",
    "run",
    "table",
    "testset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(f"bench.api.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
