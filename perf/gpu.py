"""Everything that needs a GPU, in one command of at most nine minutes: `make gpu`.

`python -m perf.gpu OUT` runs the parts below, each in a process of its own with a limit, and writes
OUT/PART.json and OUT/PART.log, then OUT/summary.json; a part that fails or takes too long is
recorded and the others continue. It needs this checkout and a Python with torch; parts whose
packages are not installed are skipped. `--data FACES` trains the embedded prior in the remaining
time. Without a GPU it prints the plan; `--anyway` runs the parts in small on the CPU.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINUTES = 9.0
RESERVE = 20.0  # seconds for the summary, and for what is left of a part at its limit
LARGEST = 16 * 2**20  # bytes: weights that can be committed


@dataclass(frozen=True)
class Part:
    """A part: what it measures, its limit in seconds, and the packages that it imports."""

    name: str
    what: str
    seconds: float
    packages: tuple[str, ...] = ()


PARTS = (
    Part("tests", "tests marked gpu", 90, ("pytest", "numpy", "PIL", "pandas", "lpips")),
    Part(
        "agreement", "DDNM, DDRM and DPI in float32 against the CPU", 60, ("numpy", "safetensors")
    ),
    Part("memory", "scoring with too little memory: batches are halved", 40, ("numpy", "PIL")),
    Part("ddnm", "DDNM at 256 px against the released loop, one image at a time", 120, ("numpy",)),
    Part("batched", "the same against that loop on a batch under autocast", 90, ("numpy",)),
    Part("peak", "share of the matrix-product rate in the prior at 256 px", 60, ("numpy",)),
    Part(
        "metrics",
        "all metrics of twelve methods, 300 pairs at 256 px, against the packages' calls",
        120,
        ("numpy", "PIL", "pandas", "lpips", "torch_fidelity", "skimage"),
    ),
    Part("training", "bench train prior --size 64, for the rest of the time", 0, ("accelerate",)),
)


def run_part(name: str, out: Path, seconds: float, data: str | None) -> dict[str, Any]:
    """Run one part in this process and return its numbers."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "tests": tests,
        "agreement": lambda: agreement(device),
        "memory": lambda: memory(device),
        "ddnm": lambda: compared("perf.sampling", "plain", "ddnm"),
        "batched": lambda: compared("perf.sampling", "batched", "ddnm"),
        "peak": peak,
        "metrics": lambda: compared("perf.metrics", "plain", "runs"),
        "training": lambda: training(out, seconds, data),
    }
    return work[name]()


def tests() -> dict[str, Any]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:]
    return {"returncode": done.returncode, "summary": "".join(last)}


def agreement(device: Any) -> dict[str, Any]:
    """Return by method the largest difference of a sample from the CPU's, in [-1, 1]."""
    import torch

    from bench.diffusion.noise import KeyedNoise, StreamKey
    from bench.diffusion.operators import bicubic
    from bench.engine.models import load_models
    from bench.methods import Problem, configure
    from bench.metrics.scoring.devices import exact_float32

    found = {}
    for method in ("ddnm", "ddrm", "dpi"):
        made = configure(method, 8, 64, {method: {"steps": 10}})
        results = []
        for place in (torch.device("cpu"), device):
            models = load_models(made, 64, {}, place).models
            noise = KeyedNoise([StreamKey(0, str(i)) for i in range(2)])
            lr = bicubic(64, 8)(torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64))
            with torch.no_grad(), exact_float32():
                results.append(made.restore(Problem(lr.to(place), 8, noise, models)).cpu())
        found[method] = float((results[0] - results[1]).abs().max())
    return found


def memory(device: Any) -> dict[str, Any]:
    """Score a batch that does not fit into the remaining memory."""
    import numpy as np
    import torch

    from bench.metrics.inputs import UNIT, batch
    from bench.metrics.scoring.compute import halved

    seen: list[int] = []
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info()
        taken = torch.empty(int(0.98 * free), dtype=torch.uint8, device=device)
    else:
        taken = torch.empty(1)

    def convolved(pictures: list[Any]) -> list[float]:
        seen.append(len(pictures))
        x = batch(pictures, UNIT, str(device))
        wide = torch.nn.functional.conv2d(x, torch.ones(64, 3, 3, 3, device=device))
        return [float(value) for value in wide.mean((1, 2, 3))]

    count, size = (64, 512) if device.type == "cuda" else (4, 32)
    pictures = [np.full((size, size, 3), level, np.uint8) for level in range(count)]
    values = halved(convolved, pictures)
    del taken
    return {"batches": seen, "values": len(values), "increasing": values == sorted(values)}


def compared(module: str, other: str, work: str) -> dict[str, Any]:
    """Measure the seconds of ours and of the other side, once each."""
    from perf.measuring import Comparison

    ours, theirs = Comparison(module, work, other, work, other).seconds(1)
    return {"ours": ours, "theirs": theirs, "ratio": theirs / ours}


def peak() -> dict[str, Any]:
    """Measure the rates of the prior's network and of a large matrix product."""
    from perf.peak import rates

    network, product = rates()
    return {"network": network, "product": product, "share": network / product}


def training(out: Path, seconds: float, data: str | None) -> dict[str, Any]:
    """Train the prior of 64 px until the time is over; its weights are left in OUT."""
    if data is None:
        return {"skipped": "no --data"}
    options = ["--data", data, "--out", str(out / "prior"), "--every", "50"]
    command = [sys.executable, "-m", "bench", "train", "prior", "--size", "64", *options]
    start = time.monotonic()
    with subprocess.Popen(command) as process:
        try:
            process.wait(max(1.0, seconds - RESERVE))
        except subprocess.TimeoutExpired:
            process.terminate()
    files = {p.name: p.stat().st_size for p in sorted((out / "prior").glob("*.safetensors"))}
    too_large = [name for name, size in files.items() if size > LARGEST]
    return {"seconds": time.monotonic() - start, "weights": files, "too_large": too_large}


def lacking(part: Part) -> list[str]:
    """Return the packages of a part that are not installed."""
    return [name for name in part.packages if importlib.util.find_spec(name) is None]


def plan(parts: Sequence[Part], minutes: float) -> str:
    """Return what would be done."""
    lines = [f"In at most {minutes:g} minutes, on a GPU:"]
    for part in parts:
        absent = lacking(part)
        note = f" (left out: {', '.join(absent)} not installed)" if absent else ""
        limit = f"{part.seconds:g} s" if part.seconds else "the rest"
        lines.append(f"  {part.name:10} {limit:>8}  {part.what}{note}")
    return "\n".join(lines)


def run_all(
    parts: Sequence[Part], out: Path, minutes: float, data: str | None
) -> dict[str, dict[str, Any]]:
    """Run the parts one after the other and write what they found."""
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        left = end - time.monotonic() - RESERVE
        limit = min(part.seconds or left, left)
        if absent := lacking(part):
            found[part.name] = {"skipped": f"{', '.join(absent)} not installed"}
        elif limit < 5:
            found[part.name] = {"skipped": "no time left"}
        else:
            found[part.name] = _in_a_process(part, out, limit, data)
        print(f"{part.name}: {json.dumps(found[part.name])}", flush=True)
        (out / "summary.json").write_text(json.dumps(_summary(found), indent=2))
    return found


def _in_a_process(part: Part, out: Path, limit: float, data: str | None) -> dict[str, Any]:
    options = ["--part", part.name, "--seconds", str(limit), *(["--data", data] if data else [])]
    command = [sys.executable, "-m", "perf.gpu", str(out), *options]
    start = time.monotonic()
    with (out / f"{part.name}.log").open("wb") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return {"failed": f"over {limit:.0f} s", "seconds": limit}
    file = out / f"{part.name}.json"
    if done.returncode or not file.is_file():
        return {"failed": f"exit code {done.returncode}, see {part.name}.log"}
    result: dict[str, Any] = json.loads(file.read_text())
    return {**result, "wall": round(time.monotonic() - start, 1)}


def _summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "CPU"
    return {"device": device, "torch": torch.__version__, "parts": found}


def main(arguments: Sequence[str]) -> int:
    """Run all parts, or one; return 0 if none failed."""
    if importlib.util.find_spec("torch") is None:
        print(f"{sys.executable} has no torch: `make install`, or give GPU_PYTHON=python.")
        return 2
    import torch

    parser = argparse.ArgumentParser(prog="python -m perf.gpu", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--data", help="folder or zip of faces to train on")
    parser.add_argument("--only", nargs="*", help="parts (default: all)")
    parser.add_argument("--anyway", action="store_true", help="run without a GPU, in small")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.part:
        result = run_part(given.part, given.out, given.seconds, given.data)
        (given.out / f"{given.part}.json").write_text(json.dumps(result))
        return 0
    known = {part.name: part for part in PARTS}
    if unknown := sorted(set(given.only or ()) - known.keys()):
        parser.error(f"no part {unknown[0]!r}: choose from {', '.join(known)}")
    parts = [part for part in PARTS if not given.only or part.name in given.only]
    if not torch.cuda.is_available() and not given.anyway:
        print(plan(parts, given.minutes))
        print("There is no GPU here: nothing was run.")
        return 0
    found = run_all(parts, given.out, given.minutes, given.data)
    return 1 if any("failed" in result for result in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
