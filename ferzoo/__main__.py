"""`python -m ferzoo`: the command line, where its script is on no path or another Python's comes first."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
