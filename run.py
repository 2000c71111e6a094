import sys

from options import GROUPS, SCRIPTS
from utils.cli import main

if __name__ == "__main__":
    main("run", SCRIPTS["run"], GROUPS, sys.argv[1:])
