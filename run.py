"""Run a trained network.

python run.py                                       # the scripts, a line each
python run.py hourglass_mpii --load CHECKPOINT --data_dir PHOTOS_OR_VIDEO
"""

import sys

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main

if __name__ == "__main__":
    main("run", SCRIPTS["run"], GROUPS, sys.argv[1:])
