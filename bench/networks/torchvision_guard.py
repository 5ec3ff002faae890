"""Import torchvision even if its compiled operators cannot be loaded."""

import importlib
import sys
from typing import Any

_OPERATORS = ("nms", "qnms")
_SYMPTOM = "operator torchvision::nms does not exist"
_kept: list[Any] = []  # the schemas disappear with the library object that declared them


def import_torchvision() -> None:
    """Import torchvision so that a later `import torchvision` succeeds.

    A torchvision wheel built for CUDA can't load its operators with a torch built for the CPU, and
    its import fails because it annotates undeclared operators. In that case, declare them without
    an implementation and import again: networks work, but `torchvision.ops.nms` does not. If
    torchvision imports without this, do nothing else.

    Raises:
        ImportError: torchvision isn't installed.
        RuntimeError: its import fails for any other reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare_operators()
        importlib.import_module("torchvision")


def _declare_operators() -> None:
    """Declare the operators whose absence stops the import, once per process."""
    if _kept:
        return
    library = importlib.import_module("torch.library").Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
