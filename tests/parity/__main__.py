"""Command line; see the package."""

import sys
from pathlib import Path

from tests.parity.runner import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.parity DIR")
    sys.exit(main(Path(sys.argv[1])))
