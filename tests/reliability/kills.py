"""The long form of test_kills.py: every training script, in one and in two processes, killed and resumed many times.

Half of the kills are at a random point of the writes, the others at a random moment. Processes are forks of this one,
so that imports are paid once. After each kill all files must be whole and no older than the last finished
write; the resumed training must end with the weights, optimizer, random states and log of one that nobody killed.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from forks import child, status_of
from kill_points import kill_at
from launchers import free_port

from options import GROUPS, SCRIPTS
from utils import osutils
from utils.command_line.cli import main as command_line
from utils.osutils import UserError
from utils.training.log_files import read_log

BEST, LATEST, LOG = "model_best.pth.tar", "checkpoint.pth.tar", "log.txt"
FILES = {BEST, LATEST, LOG, "options.json", "preds_valid.mat", "person_keypoints_val2017_results.json"}
EPOCHS = 2
TOLERATED_SECONDS = 60  # for the other process to notice that one has been killed

COMMON = ("--epochs", EPOCHS, "--device", "cpu", "--exp", "torture", "--deterministic", "--workers", 0)
SMALL = ("--stacks", 1, "--features", 8, "--train_batch_size", 2, "--test_batch_size", 2)
POSES = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking", "--train_batch_size", 24)
# name: (script, folder of the data, options)
TRAININGS = {
    "2d3d_h36m": ("2d3d_h36m", "h36m", (*POSES, "--sync_batch_norm")),
    "2d3d_h36m --cycle_gan": ("2d3d_h36m", "h36m", (*POSES, "--cycle_gan", "--sync_batch_norm")),
    "3d_pose_gan": ("3d_pose_gan", "h36m", POSES),
    "hourglass_mpii": ("hourglass_mpii", "mpii", (*SMALL, "--ema", 0.9)),
    "hourglass_coco": ("hourglass_coco", "coco", SMALL),
    "hourglass_lsp": ("hourglass_lsp", "lsp", SMALL),
    "hourglass_eva": ("hourglass_eva", "eva", (*SMALL, "--add_attention", "--attention_history_length", 2)),
    "stitched_fine_tune": (
        "stitched_fine_tune", "images",
        ("--test_batch_size", 3, "--train_batch_size", 2, "--sync_batch_norm"),
    ),
}  # fmt: skip
STARTS = {  # which --resume does not take
    "stitched_fine_tune": ("--load_hourglass", "{data}/hourglass.pth.tar", "--load_2d3d", "{data}/2d3d.pth.tar")
}


@dataclass(frozen=True)
class Training:
    """One of `TRAININGS` in one or two processes."""

    name: str
    data: Path
    processes: int

    def arguments(self, resumes: bool = False) -> list[str]:
        script, folder, options = TRAININGS[self.name]
        alone = [] if self.processes == 2 else ["--sync_batch_norm"]
        starts = [] if resumes else STARTS.get(self.name, [])
        given = [str(one).format(data=self.data) for one in (*COMMON, *starts, *options) if one not in alone]
        return [script, "--data_dir", str(self.data / folder), *given]

    @property
    def experiment(self) -> Path:
        return Path("model_checkpoints", f"{TRAININGS[self.name][0]}_torture")

    def start(self, folder: Path, prepare: Callable[[], object], *more: str) -> list[int]:
        """Start the processes in `folder`; `prepare` is called in rank 0. Returns their ids."""
        port = free_port()

        def run(rank: int) -> None:
            os.chdir(folder)
            output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if self.processes > 1:
                ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
                meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                os.environ |= {name: str(value) for name, value in (ranks | meeting).items()}
            if rank == 0:
                prepare()
            command_line("train", SCRIPTS["train"], GROUPS, [*self.arguments("--resume" in more), *more])

        return [child(partial(run, rank)) for rank in range(self.processes)]

    def finish(self, folder: Path, prepare: Callable[[], object] = lambda: None, *more: str) -> float:
        """Run to the end; returns seconds. Raises AssertionError if it fails."""
        start = time.monotonic()
        statuses = [status_of(process) for process in self.start(folder, prepare, *more)]
        assert not any(statuses), f"{self.name}, status {statuses}: {(folder / 'output.txt').read_text()[-2000:]}"
        return time.monotonic() - start


# ------------------------------------------------------------------------------------------ a kill
def kill_and_resume(training: Training, whole: Path, folder: Path, in_write: bool, points: int, seconds: float) -> list:
    """Faults found after one kill: [] if there are none."""
    point = random.randrange(points)
    processes = training.start(folder, partial(kill_at, point) if in_write else lambda: None)
    if not in_write:
        time.sleep(random.uniform(0, seconds))
        os.kill(random.choice(processes), signal.SIGKILL)
    end_all(processes)
    faults = faults_of_files(folder / training.experiment)
    resumes = (folder / training.experiment / LATEST).is_file()
    training.finish(folder, lambda: None, *(["--resume"] if resumes else []))
    return faults + differences(folder / training.experiment, whole / training.experiment)


def end_all(processes: Sequence[int]) -> None:
    """Wait for all; when one has ended, the others get the launcher's SIGTERM, and at last SIGKILL."""
    left, asked, start = list(processes), False, 0.0
    while left:
        ended = [process for process in left if os.waitpid(process, os.WNOHANG)[0]]
        left = [process for process in left if process not in ended]
        if ended and not asked:
            asked, start = True, time.monotonic()
            for process in left:
                os.kill(process, signal.SIGTERM)
        if asked and time.monotonic() > start + TOLERATED_SECONDS:
            for process in left:
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def faults_of_files(folder: Path) -> list[str]:
    """Unreadable, stale and missing files of an experiment that was killed."""
    from utils.training.checkpoints import read_checkpoint

    if not (folder / LATEST).is_file():
        return []
    try:
        latest, best, rows = read_checkpoint(folder / LATEST), read_checkpoint(folder / BEST), read_log(folder / LOG)[1]
    except (UserError, OSError) as error:
        return [f"unreadable or missing: {error}"]
    done = int(latest["epoch"])
    faults = []
    if latest["best"] is not None and best["best"] != latest["best"] and best["epoch"] <= done:
        faults.append("stale: the best checkpoint")
    if [row["epoch"] for row in rows] not in ([*range(1, done + 1)], [*range(1, done + 2)]):
        faults.append(f"log of {len(rows)} rows after {done} epochs")
    return faults


def differences(folder: Path, whole: Path) -> list[str]:
    """How a resumed training differs from one that was not killed."""
    from utils.training.checkpoints import read_checkpoint

    faults = [f"left over: {path.name}" for path in folder.iterdir() if path.name not in FILES]
    faults += [f"left over: {path.name}" for path in folder.parent.glob(".*")]
    for name in (LATEST, BEST):
        one, other = (read_checkpoint(place / name) for place in (folder, whole))
        for key in ("state_dict", "optimizer", "epoch", "best", "rng", "rng_of_other_ranks", "ema", "cycle_gan"):
            if not are_equal(one.get(key), other.get(key)):
                faults.append(f"{name} differs: {key}")
    rows, expected = (  # as text: NaN, of what an epoch never computed, is unequal to itself
        [{k: str(v) for k, v in row.items() if k != "seconds"} for row in read_log(place / LOG)[1]]
        for place in (folder, whole)
    )
    return faults if rows == expected else [*faults, "log.txt differs"]


def are_equal(one: Any, other: Any) -> bool:
    """Whether two values of checkpoints are equal bit for bit."""
    import torch

    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping) and one.keys() == other.keys() and all(are_equal(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(are_equal, one, other))
    return one == other


# ------------------------------------------------------------------------------------------ all of them
def make_data(folder: Path) -> None:
    import shared_launch

    from utils.sample.coco import make_coco
    from utils.sample.human36m import make_h36m
    from utils.sample.lsp import make_lsp

    shared_launch.make_data(folder)
    make_h36m(folder / "h36m", training=0, validation=0, frames=6)
    make_coco(folder / "coco", folder / "mpii")
    make_lsp(folder / "lsp", folder / "mpii")


def import_all(work: Path) -> None:
    """Import here what trainings import, much of it in their first step."""
    for name in ("stacked_hourglass", "generative_models", "stitched"):
        import_module(f"{name}.train")
    lifter = Training("2d3d_h36m", work / "data", 1)
    places = [text for name in ("checkpoint_dir", "tb_dir") for text in (f"--{name}", str(work / "first"))]
    command_line("train", SCRIPTS["train"], GROUPS, [*lifter.arguments(), *places])


def torture(training: Training, kills: int, work: Path) -> Counter:
    """Kill and resume a training; returns counts of kills and of each fault."""
    whole = work / "whole"
    whole.mkdir(parents=True)

    def note() -> None:
        osutils._passed = lambda event, path: (whole / "points.txt").open("a").write(f"{event} {path.name}\n")

    training.finish(whole, note)
    points = (whole / "points.txt").read_text().splitlines()
    again = work / "again"
    again.mkdir()
    seconds = training.finish(again)
    found = Counter({"not repeatable": len(differences(again / training.experiment, whole / training.experiment))})
    for number in range(kills):
        folder = work / f"killed_{number}"
        folder.mkdir()
        in_write = number % 2 == 0
        faults = kill_and_resume(training, whole, folder, in_write, len(points), seconds)
        found.update(["kills", *(["kills in writes"] if in_write else []), *faults])
        if faults:
            print(f"{training.name} in {training.processes}: {faults}; files: {folder}", flush=True)
        else:
            shutil.rmtree(folder)
        print(f"{training.name} in {training.processes}: {number + 1} kills, {number // 2 + 1} in writes", flush=True)
    return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="torture.py kills", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=50, help="kills of each training, in equal parts in one and in two processes"
    )
    parser.add_argument("--trainings", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--processes", nargs="+", type=int, choices=(1, 2), default=(1, 2))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    random.seed(options.seed)
    work = Path(tempfile.mkdtemp(prefix="torture_"))
    print(f"working in {work}")
    make_data(work / "data")
    import_all(work)
    total = Counter()
    for name in options.trainings:
        for processes in options.processes:
            start, training = time.monotonic(), Training(name, work / "data", processes)
            place = work / f"{name.replace(' ', '_')}_{processes}"
            found = torture(training, options.kills // len(options.processes), place)
            total += found
            minutes = (time.monotonic() - start) / 60
            faults = {key: count for key, count in found.items() if not key.startswith("kills") and count}
            print(
                f"{name}, {processes} process(es): {found['kills']} kills, {found['kills in writes']} in writes, "
                f"{minutes:.1f} min, faults: {faults or 'none'}",
                flush=True,
            )
    faults = sum(count for key, count in total.items() if not key.startswith("kills"))
    print(f"{total['kills']} kills, {total['kills in writes']} in writes: {faults} faults")
    if not faults:
        shutil.rmtree(work)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
