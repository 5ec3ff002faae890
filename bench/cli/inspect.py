"""Command that checks the installation: doctor."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from bench.cli.shared import say, workspace
from bench.core.errors import BenchError


def doctor() -> None:
    """Check the installation: packages, weights and datasets.

    Each missing item is printed with the command that gets it.
    """
    from importlib.metadata import PackageNotFoundError, version

    from bench import metrics
    from bench.api.testsets import prepared_testsets
    from bench.core.paths import DISTRIBUTION, checkpoints
    from bench.methods import program_names
    from bench.metrics.features.backbones import BACKBONES
    from bench.networks.registry.records import records

    def line(name: str, state: str, remedy: str = "") -> None:
        say(f"{name:24} {state}{f'  ->  {remedy}' if remedy else ''}")

    say("Packages")
    for package in (DISTRIBUTION, "torch", "torchvision", "lpips", "scikit-image"):
        try:
            line(f"  {package}", version(package))
        except PackageNotFoundError:
            line(f"  {package}", "missing", "make install")
    say("Device")
    for name, value in _device():
        line(f"  {name}", value)
    say("Weights")
    for path in sorted(checkpoints().glob("*.safetensors")):
        line(f"  {path.stem}", "embedded")
    within_lpips = {backbone.record for backbone in BACKBONES.values()}  # see Metrics below
    for record in records().values():
        if record.name in within_lpips:
            continue
        here = record.path.is_file()
        line(f"  {record.name}", "here" if here else "missing", "" if here else record.remedy)
    say("Metrics")
    for metric in metrics.all_metrics().values():
        reason = metric.unavailable()
        line(f"  {metric.title}", "missing" if reason else "works here", reason or "")
    home = workspace()  # whose own methods are found from here on
    say("External programs")
    for name in program_names():
        reason = _lacking(name)
        line(f"  {name}", "missing" if reason else "set up", reason)
    say("Test sets")
    there = prepared_testsets(home)
    for name in there:
        line(f"  {name}", "prepared")
    if not there:
        line("  none", "", "bench prepare sample --scale 8")


def _lacking(name: str) -> str:
    """Return why an external method cannot run and how to fix it, or an empty string."""
    from bench.methods import find_program
    from bench.methods.external.installation import Installation

    try:
        Installation(find_program(name)).fingerprint()
    except BenchError as error:
        return str(error)
    return ""


def _device() -> list[tuple[str, str]]:
    import torch

    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = [
        ("processor", f"{platform.machine()}, {torch.get_num_threads()} threads"),
        ("memory", f"{ram:.0f} GiB"),
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            facts.append((f"GPU {index}", f"{properties.name}, {memory}"))
    else:
        facts.append(("GPU", "none: everything runs on the CPU"))
    free = shutil.disk_usage(Path.cwd()).free
    facts.append(("disk", f"{free / 2**30:.0f} GiB free"))
    return facts
