"""Run the check of each dump and print the differences."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from bench.core.errors import BenchError
from tests.parity import (
    daps,
    ddnm,
    ddrm,
    difface,
    diffpir,
    dpi,
    dps,
    dr2,
    ilvr,
    pgdiff,
    pigdm,
    reddiff,
    sr3,
)
from tests.recorded import Case, Dump

TOLERANCE = 1e-4  # another order of float32 operations stays near 1e-5 over these loops

CHECKS: Mapping[str, Callable[[Dump], Iterator[Case]]] = {
    "daps": daps.check,
    "ddnm": ddnm.check,
    "ddrm": ddrm.check,
    "difface": difface.check,
    "diffpir": diffpir.check,
    "dpi": dpi.check,
    "dps": dps.check,
    "dr2": dr2.check,
    "ilvr": ilvr.check,
    "pgdiff": pgdiff.check,
    "pigdm": pigdm.check,
    "reddiff": reddiff.check,
    "sr3": sr3.check,
}


def check_for(path: Path) -> Callable[[Dump], Iterator[Case]] | None:
    """Return the check for a dump, by the method that its file name begins with."""
    return next((check for name, check in CHECKS.items() if path.stem.startswith(name)), None)


def main(directory: Path) -> int:
    """Check every dump of a folder, print a line per case, and return the exit code."""
    dumps = sorted(directory.glob("*.npz"))
    if not dumps:
        print(f"{directory} holds no dumps (*.npz).")
        return 1
    failed = False
    for path in dumps:
        check = check_for(path)
        if check is None:
            print(f"{path.name}: unknown: no check for this method yet")
            continue
        dump = Dump.read(path)
        with torch.no_grad():
            try:
                for case, difference in check(dump):
                    ok = difference <= TOLERANCE
                    failed |= not ok
                    print(f"{path.name}: {case}: {difference:.2e}{'' if ok else '  FAILED'}")
            except (BenchError, KeyError, RuntimeError, ValueError) as error:
                failed = True
                print(f"{path.name}: {error!r}  FAILED")
        for name in dump.untouched():
            print(f"{path.name}: {name}: unknown: no check for this case yet")
    return int(failed)
