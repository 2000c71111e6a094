"""Measure `--absolute`: the error of people's positions for a true and for a wrong focal length.

python scripts/measure_absolute.py --data_dir data/h36m                       # the lifter of the demo weights
python scripts/measure_absolute.py --data_dir data/h36m --load model_checkpoints/2d3d_h36m_default

The 2D poses are true: projected by the camera with its lens distortion, which `--absolute` ignores. The 3D poses are
the true ones, or lifted from the 2D poses. As in run.py, the position is found from the 14 joints that MPII and
Human3.6M share; the principal point is the true one, where run.py takes the image centre. Error: distance of the hip
from its true position in camera coordinates, mm.

Of a Human3.6M folder, every N-th sample (a frame in a camera) of S9 and S11 is used; of a folder with a list of frames
(poses.npz, `utils/human36m_frames.py`), all of them.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stitched.loading import require_own_normalisation
from twod_threed.absolute import root_positions
from twod_threed.absolute_people import common_joints
from twod_threed.lifting import lift
from twod_threed.loading import load_lifter
from twod_threed.mpjpe import from_hip, mpjpe
from utils.camera_utils import CAMERA_NAMES, Camera, find_camera_table, get_camera, read_cameras, stack_cameras
from utils.command_line.cli import Parser
from utils.console.evaluation_tables import markdown_table
from utils.console.messages import show_messages
from utils.data_utils import lifter_input_joints
from utils.files.arrays_in_files import read_npz
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m.folder import LISTED_FRAMES
from utils.human36m_dataset import CAMERAS, load_pose_set
from utils.human36m_frames import has_listed_frames, read_listed_frames
from utils.osutils import UserError, counted
from utils.transform import H36M, MPII

FACTORS = (1.0, 0.8, 1.25)  # of the true focal length
JOINTS = common_joints(MPII)


class Samples(NamedTuple):
    """True poses (N, 17, 3) mm in camera coordinates, the position of the hip included, and their cameras, stacked."""

    poses: Tensor
    cameras: Camera


def read_samples(folder: Path, every: int) -> Samples:
    """Every `every`-th sample of S9 and S11, or all listed frames. Raises UserError for a folder without either."""
    if has_listed_frames(folder):
        return _listed(folder)
    pose_set = load_pose_set(find_sequences(folder), TEST_SUBJECTS, ACTIONS)
    index = torch.arange(0, len(pose_set), every)
    frame = index // CAMERAS
    cameras = pose_set.cameras_of(pose_set.first_camera[frame] + index % CAMERAS)
    return Samples(cameras.world_to_camera(pose_set.world[frame]), cameras)


def _listed(folder: Path) -> Samples:
    frames = read_listed_frames(folder)
    poses = torch.from_numpy(read_npz(folder / LISTED_FRAMES, ["joints_3d_camera_mm"])["joints_3d_camera_mm"]).float()
    path = find_camera_table(folder)
    clips = [frames.clips[clip] for clip in frames.clip]
    if path is None or len(poses) != len(clips) or not {clip.camera_name for clip in clips} <= set(CAMERA_NAMES):
        raise UserError(f"{folder}: expected a camera table, and in {LISTED_FRAMES} frames of its cameras alone")
    table = read_cameras(path)
    cameras = [get_camera(table, clip.subject, CAMERA_NAMES.index(clip.camera_name) + 1, path) for clip in clips]
    return Samples(poses, stack_cameras(cameras).to(torch.float32))


def errors_of(samples: Samples, poses_3d: Tensor, factor: float) -> Tensor:
    """(N, 3) mm by which the hip of `poses_3d` (N, 17, 3) is off if it is placed with `factor` × the focal length."""
    cameras, index = samples.cameras, H36M.indices(JOINTS)
    poses_2d = cameras.project(samples.poses[:, index])
    found = root_positions(poses_3d[:, index], poses_2d, factor * cameras.f.mean(-1), cameras.c)
    return found - samples.poses[:, 0]


def row_of(samples: Samples, poses_3d: Tensor) -> list[str]:
    """Mean and median error with each of `FACTORS`, and of the depth alone with the true focal length."""
    errors = [errors_of(samples, poses_3d, factor) for factor in FACTORS]
    lengths = [error.norm(dim=1) for error in errors]
    return [f"{one.mean():,.0f} ({one.median():,.0f})" for one in [*lengths, errors[0][:, 2].abs()]]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir",
        type=Path,
        nargs="+",
        default=[Path("data/h36m")],
        help="Human3.6M folders, or folders with a list of frames (default: data/h36m)",
    )
    parser.add_argument(
        "--load",
        type=Path,
        default=DEMO_WEIGHTS,
        help="checkpoint of a 3D baseline or a stitched network, or its folder (default: the demo weights)",
    )
    parser.add_argument("--every", type=int, default=37, help="use every N-th sample (default: 37)")
    options = parser.parse_args()
    show_messages()
    if options.every < 1:
        parser.error(f"--every {options.every}: give 1 or more")
    rows, notes = [], []
    with parser.one_line_errors():
        lifter = load_lifter(options.load)
        require_own_normalisation(lifter, f"--load {options.load}")
        for folder in options.data_dir:
            samples = read_samples(folder, options.every)
            true = from_hip(samples.poses)
            lifted = lift(samples.cameras.project(lifter_input_joints(samples.poses, lifter.input_places)), lifter)
            name = f"{counted(len(true), 'sample')} of {folder}"
            rows += [[f"{name}, true 3D pose", *row_of(samples, true)], ["the same, lifted", *row_of(samples, lifted)]]
            notes.append(f"MPJPE of the lifted poses, {name}: {mpjpe(lifted, true):.1f} mm (17 joints, hips aligned)")
    print("Mean (median) distance of the hip from its true position, mm; the last column is its part in depth\n")
    focal = ["true focal length", *(f"{factor:g} × this" for factor in FACTORS[1:])]
    print(markdown_table(["", *focal, "true focal length, depth alone"], rows))
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
