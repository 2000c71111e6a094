"""A folder in which the commands of the pages run as they stand: what they name exists, made small and on first use."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
import scipy.io
from command_line import call
from tiny_checkpoints import hourglass_file
from tiny_eva import make_tiny_eva
from tiny_fine_tuning import make_images, make_networks

from options import SCRIPTS
from stacked_hourglass.hourglass import Architecture
from utils.camera_utils import write_cameras_h5
from utils.command_line.declarations import OUTPUT_FOLDERS
from utils.human36m.files import POSITIONS_H5, write_positions
from utils.sample.coco import make_coco
from utils.sample.human36m import all_slots, random_cameras, sequence_motion
from utils.sample.lsp import make_lsp
from utils.sample.sample_data import MAKERS, MARKER

FEATURES = 8
# Not compiled, which takes minutes; the tests of --compile check that it is.
HOURGLASS = (
    "--features", FEATURES, "--epochs", 2, "--train_batch_size", 4, "--test_batch_size", 4, "--workers", 0,
    "--device", "cpu", "--compile", False,
)  # fmt: skip
RUN = ("--workers", 0, "--device", "cpu")
LIFTER = ("--linear_size", 16, "--num_stage", 1, "--epochs", 1, "--device", "cpu")
# What is added to a page's command, after its own options, to make it small.
SMALL: dict[str, tuple[object, ...]] = {
    "train hourglass_mpii": HOURGLASS,
    "train hourglass_lsp": HOURGLASS,
    "train hourglass_coco": HOURGLASS,
    "train hourglass_eva": HOURGLASS,
    "train 2d3d_h36m": LIFTER,
    "train 3d_pose_gan": LIFTER,
    "train stitched_fine_tune": ("--epochs", 1, *RUN, "--train_batch_size", 3),
    "run hourglass_mpii": RUN,
    "run stitched_mpii": RUN,
    "viz browse": ("--train_batch_size", 2, "--workers", 0),
    "viz saliency_and_prob_maps": ("--num_pictures", 1, "--device", "cpu"),
}
# The main files of a script, below --output_dir (train.py: below the experiment's folder).
TRAINED = ("checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json")
WRITES: dict[str, tuple[str, ...]] = {
    "run hourglass_mpii": ("2d_pose_estimations.pt", "metas.pt", "predictions.json"),
    "run stitched_mpii": ("2d_pose_estimations.pt", "3d_pose_estimations.pt", "metas.pt", "predictions.json"),
    "run 2d3d_h36m": ("3d_pose_estimations.pt", "metas.pt"),
    "run convert": ("converted/*",),
    "run export": ("*.onnx", "*.pt2"),
    "viz video": ("*.mp4",),
    "viz viewer": ("*.html",),
    "viz report": ("*.html",),
    "viz browse": ("*.png",),
    "viz saliency_and_prob_maps": ("*.jpg",),
    "viz 3d_pose_gan": ("generated.png",),
    "viz training_curves": ("training_curves.png", "training_curves.pdf"),
    "eval h36m_MPJPE": ("*.json",),
    "eval mpii_PCKh": ("*.json",),
}
FILE = Path(__file__).name
INTERPOLATED = 9000  # the last frame of S9 and S11 that a page names


def written(entry: str, script: str, options: Namespace) -> tuple[Path, tuple[str, ...]]:
    """The folder, and the patterns of the files, that a command leaves; none where it only prints."""
    if printed(options):
        return Path(), ()
    if entry == "train":
        return options.checkpoint_dir / f"{script}_{options.exp}", TRAINED
    patterns = WRITES.get(f"{entry} {script}")
    if patterns is None:
        pytest.fail(f"say in WRITES of tests/{FILE} what {entry}.py {script} writes", pytrace=False)
    if getattr(options, "draw", False):
        patterns += ("pictures/*",)
    return options.output_dir or options.data_dir, patterns


def printed(options: Namespace) -> str:
    """What a command prints that writes no files, or ""."""
    if options.check_data:
        return "nothing that is needed is missing"
    return "\t" if getattr(options, "evaluate", False) else ""  # between a metric and its value


class Workspace:
    """Makes each part on first use; every command gets copies of those that it names.

    Attributes:
        folder: of the parts.
        tiny: folders of small data: mpii, clips, h36m.
    """

    def __init__(self, folder: Path, tiny: dict[str, Path]):
        self.folder, self.tiny = folder, tiny

    def copy_for(self, command: str, entry: str, options: Namespace, target: Path) -> None:
        """Copy into `target` what a command reads; fails the test where no part has it."""
        paths = list(named(entry, options))
        for path in paths:
            if part_of(path) is None:
                lacks(command, path)
        for path in paths:
            part = part_of(path)
            self.need(part)
            if not (self.folder / path).exists():
                lacks(command, path)
            if not (target / part).exists():
                copy(self.folder / part, target / part)

    def need(self, part: str) -> Path:
        """The path of a part, made if it isn't there."""
        path = self.folder / part
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            PARTS[part](self, path)
        return path

    def call(self, entry: str, script: str, *argv: object) -> None:
        """Run a small command in the workspace, to make a part."""
        call(entry, script, *SMALL.get(f"{entry} {script}", ()), *argv, cwd=self.folder).succeeded()


def lacks(command: str, path: Path) -> NoReturn:
    pytest.fail(f"{command}: nothing makes {path}; add it to PARTS in tests/{FILE}", pytrace=False)


def named(entry: str, options: Namespace) -> Iterator[Path]:
    """The files and folders that a command reads, by an option or by default."""
    for name, value in vars(options).items():
        for path in value if isinstance(value, list) else [value]:
            if name not in OUTPUT_FOLDERS and isinstance(path, Path):
                sample = SCRIPTS[entry][options.script].sample_of(options)
                yield Path("data/sample", sample) if str(path) == "sample" else path
    if getattr(options, "resume", False):
        yield options.checkpoint_dir / f"{options.script}_{options.exp}"


def part_of(path: Path) -> str | None:
    """The part that is `path`, or contains it."""
    return next((str(one) for one in (path, *path.parents) if str(one) in PARTS), None)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


# ------------------------------------------------------------------------------------------ parts
def tiny(name: str) -> Callable[[Workspace, Path], None]:
    return lambda work, path: copy(work.tiny[name], path)


def of_mpii(make: Callable[[Path, Path], None]) -> Callable[[Workspace, Path], None]:
    """The people of data/mpii in another form."""
    return lambda work, path: make(path, work.need("data/mpii"))


def sample(data_set: str, make: Callable[[Workspace, Path], None]) -> Callable[[Workspace, Path], None]:
    """What `--data_dir sample` finds there, and does not render."""

    def make_sample(work: Workspace, path: Path) -> None:
        make(work, path)
        (path / MARKER).write_text(json.dumps({"version": MAKERS[data_set].version}))

    return make_sample


def eva(work: Workspace, path: Path) -> None:
    make_tiny_eva(path)


def h36m(work: Workspace, path: Path) -> None:
    """A few pictures of S1 and S9, and poses of S11 beyond `INTERPOLATED`."""
    make_images(path)
    poses = all_slots(sequence_motion(0, 11, "Walking", 1, frames=50))
    many = np.tile(poses, (INTERPOLATED // len(poses) + 1, 1, 1))
    write_positions(path / POSITIONS_H5.format(subject=11) / "Walking.h5", many)
    write_cameras_h5(path / "cameras.h5", random_cameras(0))


def with_predictions(work: Workspace, path: Path) -> None:
    """MPII, with the predictions that its commonly distributed file has beside the truth."""
    copy(work.tiny["mpii"], path)
    file = path / "detections_our_format.mat"
    content = {name: value for name, value in scipy.io.loadmat(file).items() if not name.startswith("__")}
    scipy.io.savemat(file, content | {"pos_pred_src": content["pos_gt_src"] + 3})


def photos(work: Workspace, path: Path) -> None:
    path.mkdir()
    for photo in sorted((work.tiny["mpii"] / "images").glob("*.jpg"))[:2]:
        shutil.copy(photo, path)


def clip(work: Workspace, path: Path) -> None:
    """Eight frames of a photo that moves to the left."""
    photo = cv2.imread(str(sorted((work.tiny["mpii"] / "images").glob("*.jpg"))[0]))[:320]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, len(photo)))
    for frame in range(8):
        writer.write(np.ascontiguousarray(photo[:, 4 * frame : 4 * frame + 320]))
    writer.release()


def network(name: str) -> Callable[[Workspace, Path], None]:
    """Untrained: an hourglass, or a lifter with the normalisation of real poses."""

    def make(work: Workspace, path: Path) -> None:
        made = make_networks(work.folder, work.need("RENDERED"))
        shutil.move(made[made.index(f"--load_{name}") + 1], path)

    return make


def deep_hourglass(work: Workspace, path: Path) -> None:
    hourglass_file(path, architecture=Architecture(stacks=3, features=FEATURES))


def output(entry: str, script: str, reads: tuple[str, ...], *argv: object) -> Callable[[Workspace, Path], None]:
    """What a command leaves that reads these parts."""

    def make(work: Workspace, path: Path) -> None:
        for part in reads:
            work.need(part)
        work.call(entry, script, *argv)

    return make


LIFT = ("--load", "LIFTER", "--data_dir", "CMU", "--device", "cpu")
PARTS: dict[str, Callable[[Workspace, Path], None]] = {
    "data/mpii": tiny("mpii"),
    "data/lsp": of_mpii(make_lsp),
    "data/coco": of_mpii(make_coco),
    "data/eva": eva,
    "data/h36m": h36m,
    "data/sample/mpii": sample("mpii", tiny("mpii")),
    "data/sample/eva": sample("eva", eva),
    "MPII": with_predictions,
    "LSPET": tiny("mpii"),
    "COCO": of_mpii(make_coco),
    "CMU": tiny("h36m"),
    "RENDERED": lambda work, path: make_images(path),
    "my_photos": photos,
    "my_clips": tiny("clips"),
    "clip.mp4": clip,
    "HOURGLASS": network("hourglass"),
    "LIFTER": network("2d3d"),
    "CHECKPOINT": network("2d3d"),
    "large.pth.tar": deep_hourglass,
    "model_checkpoints/hourglass_mpii_default": output("train", "hourglass_mpii", ("data/mpii",)),
    "model_checkpoints/hourglass_mpii_deep": output(
        "train", "hourglass_mpii", ("data/mpii",), "--exp", "deep", "--epochs", 1
    ),
    "model_checkpoints/3d_pose_gan_default": output("train", "3d_pose_gan", ("data/h36m",)),
    "data/stitched_mpii": output("run", "stitched_mpii", ("clip.mp4",), "--data_dir", "clip.mp4"),
    "data/clip_2d": output(
        "run", "hourglass_mpii", ("clip.mp4",), "--data_dir", "clip.mp4", "--output_dir", "data/clip_2d"
    ),
    "data/hourglass_mpii": output("run", "hourglass_mpii", ("data/mpii",)),
    "data/2d3d_h36m": output("run", "2d3d_h36m", ("LIFTER", "CMU"), *LIFT),
}
