import sys

from options import GROUPS, SCRIPTS
from utils.cli import main

if __name__ == "__main__":
    main("train", SCRIPTS["train"], GROUPS, sys.argv[1:])
