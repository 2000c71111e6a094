"""A training of a small hourglass in a second: through the real entry point, in this process."""

from pathlib import Path

from command_line import Result, call
from option_effects import Run
from scipy.io import loadmat

# Two steps of four people each, one epoch.
SMALL = ("--stacks", 1, "--features", 8, "--workers", 0, "--epochs", 1, "--train_batch_size", 4, "--device", "cpu")
NAME = "hourglass_mpii_default"
VISIBILITY = ("--predict_joint_visibility",)


def predictions(run: Run) -> list:
    return loadmat(run.checkpoints / "preds_valid.mat")["preds"].tolist()


def launch_training(folder: Path, data_dir: Path, *argv: object) -> Result:
    """`train.py hourglass_mpii` on `data_dir` with `folder` as working directory."""
    folder.mkdir(exist_ok=True)
    return call("train", "hourglass_mpii", "--data_dir", data_dir, *SMALL, *argv, cwd=folder)


def train_small(folder: Path, data_dir: Path, *argv: object) -> Run:
    result = launch_training(folder, data_dir, *argv).succeeded()
    return Run(folder, NAME, result.out, result.err)


def train(folder: Path, *argv: object) -> Run:
    """The same without the options of a small training."""
    folder.mkdir(exist_ok=True)
    result = call("train", "hourglass_mpii", *argv, cwd=folder).succeeded()
    return Run(folder, NAME, result.out, result.err)
