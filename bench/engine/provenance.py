"""Provenance of a result: code, packages, machine. Recorded, but not part of its identity."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bench.core.paths import DISTRIBUTION

OUTSIDE = "An external program may draw its own noise."

PACKAGES = ("torch", "numpy", "pillow", "pandas", "lpips", "scikit-image", "spandrel")


def provenance(device: torch.device) -> dict[str, Any]:
    """Return facts about code, environment and machine as JSON values."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **_commit(),
        "packages": {"bench": _version(DISTRIBUTION)} | {p: _version(p) for p in PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "gpu": gpu,
        "not_promised": not_promised(device),
    }


def not_promised(device: torch.device) -> list[str]:
    """Return the reasons why a repeated run may differ in its bytes, one sentence each.

    On a CPU with the same number of threads there is none, which `tests/engine/test_determinism.py`
    verifies for the methods. An external program may add another reason, `OUTSIDE`.
    """
    reasons = []
    if device.type != "cpu" and not torch.are_deterministic_algorithms_enabled():
        reasons.append("The GPU may sum in a different order each time.")
    if device.type == "cuda" and (
        torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    ):
        reasons.append("The GPU may multiply with 10 bits (TF32), which other GPUs lack.")
    return reasons


def _commit() -> dict[str, Any]:
    """Return the commit of the code and whether it has changes; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(root), *arguments]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
