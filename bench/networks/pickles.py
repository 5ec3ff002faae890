"""Read published PyTorch files without running their code."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.progress import notice

# Keys of the state dict in published files. The first one found is used, so that averaged weights
# take precedence over those of the last step.
WRAPPERS = ("params_ema", "ema", "params", "state_dict", "model", "net")

# What torch's DataParallel puts before each name.
PARALLEL = "module."


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return name -> tensor (float32) from a PyTorch file without running its code.

    A state dict under one of the usual names is extracted, with a notice where the file has
    several; the prefix of parallel training is removed.

    Raises:
        BenchError: no such file, truncated, or no state dict.
    """
    if not path.is_file():
        raise BenchError(f"There are no weights at {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd pickles, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception:  # noqa: BLE001 - damaged pickles raise a wide variety of types
        # Hide PyTorch's message: it advises to run the code in the file.
        raise BenchError(
            f"{path} is truncated, not a PyTorch checkpoint, or contains more than tensors: "
            "download it again."
        ) from None
    if isinstance(state, dict):
        found = [name for name in WRAPPERS if isinstance(state.get(name), dict)]
        if len(found) > 1:
            notice(f"{path} holds {' and '.join(found)}: took {found[0]}.")
        state = state[found[0]] if found else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise BenchError(f"{path} is not a state dict of tensors.")
    start = PARALLEL if all(name.startswith(PARALLEL) for name in state) else ""
    return {
        name.removeprefix(start): value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }
