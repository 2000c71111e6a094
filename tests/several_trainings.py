"""Several commands in one launch, run by each of two processes: a launch per command takes too long.

    several_trainings.py FOLDER

The exchanges of `several_processes` come first and leave their results in FOLDER/exchanges. Then the commands of
FOLDER/commands.json run in FOLDER, one after the other. A forked process calls `work`. One of the commands is
{"argv": ["train", "2d3d_h36m", …]}; with "interrupt": STEP rank 1 gets Ctrl-C in that step of the training.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import several_processes
import torch

import stacked_hourglass.trainer
from options import GROUPS, SCRIPTS
from twod_threed.trainer import LifterTrainer
from utils.command_line.cli import main
from utils.compute.distributed import Processes
from utils.compute.launched import joined


@contextlib.contextmanager
def interrupted_at(step: int):
    """Within it rank 1 of a training of the lifter is interrupted in this step; both processes must end by that."""
    update = LifterTrainer.update

    def interrupted_update(self, model, optimizer, minibatch, iteration, optimisation):
        if minibatch["part"].processes.rank == 1 and iteration == step:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, model, optimizer, minibatch, iteration, optimisation)

    LifterTrainer.update = interrupted_update
    try:
        yield
    except SystemExit as ended:
        if ended.code != 130:
            raise
    else:
        raise AssertionError("nothing was interrupted")
    finally:
        LifterTrainer.update = update


def run(command: dict, processes: Processes) -> None:
    entry, *argv = map(str, command["argv"])
    with interrupted_at(command["interrupt"]) if "interrupt" in command else contextlib.nullcontext():
        main(entry, SCRIPTS[entry], GROUPS, argv, processes)


def work(folder: Path) -> None:
    torch.set_num_threads(1)
    stacked_hourglass.trainer.PICTURES = 1  # TensorBoard's PNG of several people takes long
    os.chdir(folder)
    with joined("several_trainings.py", "HOROVOD_RANK" in os.environ, "cpu") as processes:
        several_processes.leave_results(Path("exchanges"), processes)
        for one in json.loads(Path("commands.json").read_text()):
            run(one, processes)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
