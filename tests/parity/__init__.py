"""Compare the samplers with recorded runs of the reference implementations.

    python -m tests.parity DIR

reads every dump (`*.npz`) of DIR, finds the cases by their names, replays the recorded draws and
prints the largest difference per case. Exit code 1: a difference above 1e-4, or an error.

One file per method holds its check; a case is a name and its largest absolute difference.
"""

from tests.parity.runner import TOLERANCE, check_for, main

__all__ = ["TOLERANCE", "check_for", "main"]
