"""Owns `python -m restore`, which is the command `restore`."""

import sys

from restore.cli import main

if __name__ == "__main__":
    sys.exit(main())
