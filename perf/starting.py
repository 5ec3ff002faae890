"""One side of a comparison of start-up times: `python -m perf.starting SIDE help|doctor|report`.

Seconds of a whole process: `bench --help` against the import of torch-fidelity, with which its
command begins; `bench doctor` against PyTorch's environment report; `bench report`, on results like
the demo's, against the import of torch alone.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = ("bicubic", "ilvr", "ddnm", "dpi")
QUICK = ("ilvr.steps=2", "ilvr.range_t=0", "ddnm.steps=2", "dpi.steps=2")

GUARDED = "from bench.networks.torchvision_guard import import_torchvision; import_torchvision()"

OURS = {
    "help": ["-m", "bench", "--help"],
    "doctor": ["-m", "bench", "doctor"],
    "report": ["-m", "bench", "report"],
}
OTHERS = {
    "help": ["-c", f"{GUARDED}; import torch_fidelity"],
    "doctor": ["-c", "from torch.utils.collect_env import main; main()"],
    "report": ["-c", "import torch"],
}


def prepare(folder: Path) -> None:
    """Make results like the demo's in few steps; their quality does not matter."""
    changes = [word for change in QUICK for word in ("--set", change)]
    _process(["-m", "bench", "prepare", "sample", "--scale", "8", "--size", "64"], folder)
    _process(["-m", "bench", "run", *METHODS, *changes], folder)


def _process(arguments: list[str], folder: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(side: str, work: str) -> None:
    """Print the seconds of one side, after one run to fill the disk cache."""
    arguments = (OURS if side == "ours" else OTHERS)[work]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if side == "ours" and work == "report":
            prepare(folder)
        _process(arguments, folder)
        print(_process(arguments, folder))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
