"""Draw poses and training curves.

python viz.py                                       # the scripts, a line each
python viz.py 2d_overlay --img_dir PHOTOS --2d_pose_estimations data/hourglass_mpii/2d_pose_estimations.pt
python viz.py training_curves --load model_checkpoints/hourglass_mpii_default
"""

import sys

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main

if __name__ == "__main__":
    main("viz", SCRIPTS["viz"], GROUPS, sys.argv[1:])
