"""Any metric of pyiqa by its name there, such as `pyiqa:dists`.

Direction, range, and whether a metric takes a reference come from pyiqa's own table. Its weights
stay where pyiqa keeps them and are fetched only by `bench weights get pyiqa:NAME`. What a metric
computes with is identified by the hash of all its tensors, which `_prepare` writes down: a metric
whose tensors differ from one construction to the next was initialised at random, and is refused.
"""

import importlib.util
import io
import json
import re
import runpy
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import read_json, sha256, write_bytes
from bench.core.memory import lacks_memory
from bench.core.paths import cache_folder, cache_unusable, missing_packages
from bench.core.suggest import look_up
from bench.images import Pixels
from bench.metrics.base import Metric, Reference, package_version
from bench.metrics.inputs import UNIT, batch
from bench.metrics.quality import create_metric

if TYPE_CHECKING:
    from torch import nn

PREFIX = "pyiqa:"

WHOLE_SETS = {"fid": "fid", "fid_dinov2": "fid", "inception_score": "is"}
"""Set metrics of pyiqa -> our names."""


class _Connected(Exception):
    """Raised if a metric tries to use the network while it is built."""


@dataclass(frozen=True)
class Pyiqa(Metric):
    """A metric of pyiqa on its input range, [0, 1], one image at a time.

    Attributes:
        of: its name in pyiqa.
    """

    of: str

    @property
    def identity(self) -> str:
        known = _known(self.of)
        digest = known["tensors"] if known else "absent"
        return (
            f"{self.name}: pyiqa {package_version('pyiqa')}, RGB as bytes / 255, float32, "
            f"tensors {digest}"
        )

    def unavailable(self) -> str | None:
        if missing := missing_packages("quality", "pyiqa"):
            return f"{missing}."
        if _known(self.of) is None:
            if reason := cache_unusable():
                return reason
            try:
                _prepare(self.of, online=False)
            except _Connected:
                return f"Its weights are not here: run `bench weights get {self.name}`."
            except BenchError as error:
                return str(error)
        return None

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        import torch

        network = _network(self.of, self.device)
        values = []
        with torch.inference_mode():
            for picture, original in zip(sr, hr, strict=True):
                # One at a time: pyiqa does not promise the same values for a batch.
                inputs = [batch([picture], UNIT, self.device)]
                if self.reference == "hr":
                    inputs.append(batch([original], UNIT, self.device))
                try:
                    values.append(network(*inputs).flatten())
                except (RuntimeError, ValueError, AssertionError) as error:
                    if lacks_memory(error):
                        raise
                    first = str(error).strip().splitlines()[:1]
                    raise BenchError(f"{self.title} can't measure an image: {first}") from error
        return [float(value) for value in torch.cat(values).tolist()]


@dataclass(frozen=True)
class PyiqaAlone(Pyiqa):
    """A metric of pyiqa that takes no reference."""

    compared_with: ClassVar[Reference] = "itself"


def pyiqa_metric(name: str) -> Pyiqa:
    """Return the metric of this name, such as "pyiqa:dists", without heavy imports.

    Raises:
        WrongUsage: pyiqa has none of this name, or one that compares whole sets.
        BenchError: pyiqa is not installed.
    """
    of, table = name.removeprefix(PREFIX), _table()
    if of in WHOLE_SETS:
        raise WrongUsage(f"{name} measures whole sets: use {WHOLE_SETS[of]}.")
    entry = look_up(of, table, "pyiqa has no metric", "pyiqa.list_models() lists all.")
    bounds = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", entry["score_range"])]
    digits = 4 if bounds and max(map(abs, bounds)) <= 1 else 2
    kind = Pyiqa if entry["metric_mode"] == "FR" else PyiqaAlone
    higher = not entry.get("lower_better", False)
    return kind(name, f"{of.upper()} (pyiqa)", higher, "", digits, 60, of=of)


def fetch(name: str) -> str:
    """Let pyiqa download a metric's weights, and return the hash of its tensors.

    Raises:
        BenchError: the weights can't be downloaded, or a tensor comes from no file.
    """
    metric = pyiqa_metric(name)
    if missing := missing_packages("quality", "pyiqa"):
        raise BenchError(f"{missing}.")
    return _prepare(metric.of, online=True)


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    """Read pyiqa's registry without importing pyiqa, which takes seconds.

    Raises:
        BenchError: pyiqa is not installed.
    """
    package = importlib.util.find_spec("pyiqa")
    if package is None or not package.submodule_search_locations:
        raise BenchError(f"{missing_packages('quality', 'pyiqa')}.")
    file = Path(package.submodule_search_locations[0]) / "default_model_configs.py"
    table: Mapping[str, Mapping[str, Any]] = runpy.run_path(str(file))["DEFAULT_CONFIGS"]
    return table


def _note(of: str) -> Path:
    """Return the path of the note with a metric's tensor hash."""
    return cache_folder() / "pyiqa" / f"{of}.json"


def _known(of: str) -> Mapping[str, str] | None:
    """Return the tensors' hash for the installed version of pyiqa, if it is known."""
    file = _note(of)
    if not file.is_file():
        return None
    known: Mapping[str, str] = read_json(file, f"the note on pyiqa's {of}")
    return known if known.get("pyiqa") == package_version("pyiqa") else None


def _prepare(of: str, *, online: bool) -> str:
    """Build a metric twice, compare, and record the hash of its tensors.

    Raises:
        BenchError: the two differ, or it can't be built.
        _Connected: it needs the network, and is not `online`.
    """
    first, second = (_tensors(_build(of, seed, online=online)) for seed in (0, 1))
    if differing := sorted(name for name in first if first[name] != second.get(name)):
        raise BenchError(
            f"{PREFIX}{of} has random weights in {differing[0]} and {len(differing) - 1} "
            "more tensors, so its scores are meaningless: choose another metric."
        )
    digest = _digest(first)
    note = {"pyiqa": package_version("pyiqa"), "tensors": digest}
    write_bytes(_note(of), json.dumps(note).encode())
    return digest


def _build(of: str, seed: int, *, online: bool, device: str = "cpu") -> Any:
    import torch

    with torch.random.fork_rng(), _offline(not online):
        torch.manual_seed(seed)
        try:
            return create_metric(of, device=device)
        except _Connected:
            raise
        except Exception as error:
            if _caused_by_connection(error):
                raise _Connected from error
            reason = str(error).strip().splitlines()
            raise BenchError(f"{PREFIX}{of} can't be built: {' '.join(reason[:1])}") from error


def _tensors(metric: Any) -> dict[str, str]:
    """Return the hashes of a metric's tensors by name.

    These are its tensors, those that are plain attributes, and files that it reads when used.
    """
    import torch

    module: nn.Module = metric
    found: dict[str, bytes] = {}
    parts: dict[str, Any] = dict(module.state_dict())
    for path, part in module.named_modules():
        parts |= {f"{path}:{name}": value for name, value in vars(part).items()}
    for name, value in parts.items():
        if isinstance(value, torch.Tensor):
            found[name] = value.detach().contiguous().cpu().numpy().tobytes()
        elif isinstance(value, str) and Path(value).is_file():
            found[name] = Path(value).read_bytes()
    return {name: sha256(data) for name, data in found.items()}


def _digest(tensors: Mapping[str, str]) -> str:
    return sha256(json.dumps(tensors, sort_keys=True).encode())


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Block network connections, because pyiqa downloads without asking."""

    def refuse(*arguments: object, **options: object) -> None:
        raise _Connected

    if not wanted:
        yield
        return
    with (
        redirect_stderr(io.StringIO()),  # about a download that is refused
        patch.object(socket, "getaddrinfo", refuse),
        patch.object(socket, "create_connection", refuse),
        patch.object(socket.socket, "connect", refuse),
    ):
        yield


def _caused_by_connection(error: BaseException | None) -> bool:
    """Return True if an error was caused by a blocked connection."""
    while error is not None:
        if isinstance(error, _Connected) or "_Connected" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@cache
def _network(of: str, device: str) -> Any:
    """Return the metric after verifying its tensors.

    Raises:
        BenchError: the tensors have changed.
    """
    network = _build(of, 0, online=False, device=device)
    known = _known(of)
    if known is None or known["tensors"] != _digest(_tensors(network)):
        raise BenchError(
            f"The weights of {PREFIX}{of} have changed: run `bench weights get {PREFIX}{of}`."
        )
    return network
