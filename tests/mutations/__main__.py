"""python -m tests.mutations, see the package."""

import sys

from tests.mutations import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
