"""Score predictions.

python eval.py                                      # the scripts, a line each
python eval.py mpii_PCKh --prediction_files model_checkpoints/hourglass_mpii_default/preds_valid.mat
"""

import sys

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main

if __name__ == "__main__":
    main("eval", SCRIPTS["eval"], GROUPS, sys.argv[1:])
