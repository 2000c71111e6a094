"""Train a network.

python train.py                                     # the scripts, a line each
python train.py hourglass_mpii --data_dir sample --stacks 1 --features 64 --epochs 12
python train.py hourglass_mpii --stacks 8           # MPII in data/mpii
python train.py hourglass_lsp --data_dir data/lsp
"""

import sys

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main

if __name__ == "__main__":
    main("train", SCRIPTS["train"], GROUPS, sys.argv[1:])
