"""Write the baselines that any trained 2D to 3D network must beat: the mean training pose, and nearest neighbour in 2D.

python scripts/lifting_baselines.py --data_dir data/h36m --output_dir data/lifting_baselines
python eval.py h36m_MPJPE --model_names mean nearest --prediction_files \\
    data/lifting_baselines/mean_pose/3d_pose_estimations.pt data/lifting_baselines/nearest_2d/3d_pose_estimations.pt
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from utils.command_line.cli import Parser
from utils.compute.devices import pick_device
from utils.console.messages import show_messages
from utils.console.progress import progress
from utils.data_utils import normalise_instance
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import PoseSet, load_pose_set
from utils.predictions.prediction_files import save_predictions

MAX_NEIGHBOURS = 50_000
AT_ONCE = 512  # test samples; their distances to all neighbours take 100 MB


def mean_training_pose(training: PoseSet) -> Tensor:
    """(17, 3) mm: the mean over all frames and cameras, camera coordinates, hip at the origin."""
    total = sum(poses_3d.double().sum(0) for _, poses_3d in training.parts())
    return (total / len(training)).float()


class NearestNeighbour:
    """Lifts a 2D pose to the 3D pose of the training sample that is nearest in 2D.

    The distance is Euclidean over all 16 joints, after instance normalisation (hip at zero, RMS distance one). The 3D
    pose is not changed: mm in its camera's coordinates.
    """

    def __init__(self, training: PoseSet, count: int, seed: int = 0):
        """Search `count` random samples of the training set, or all of it if it is smaller."""
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(seed))
        poses_2d, self.poses_3d = training.poses(order[:count].to(training.device))
        self.inputs = normalise_instance(poses_2d).flatten(1)

    def __len__(self) -> int:
        return len(self.poses_3d)

    def __call__(self, poses_2d: Tensor) -> Tensor:
        """(N, 16, 2) px -> (N, 17, 3) mm."""
        inputs = normalise_instance(poses_2d).flatten(1)
        nearest = [torch.cdist(part, self.inputs).argmin(1) for part in inputs.split(AT_ONCE)]
        return self.poses_3d[torch.cat(nearest)]


def write_baselines(data_dir: Path, output_dir: Path, device: torch.device, count: int) -> None:
    """Write `mean_pose` and `nearest_2d` into `output_dir`, each with predictions and truth in run.py's format."""
    files = find_sequences(data_dir)
    training = load_pose_set(files, TRAIN_SUBJECTS, ACTIONS).to(device)
    test = load_pose_set(files, TEST_SUBJECTS, ACTIONS).to(device)
    mean, nearest = mean_training_pose(training).cpu(), NearestNeighbour(training, count)
    truth, constant, found = {}, {}, {}
    clips = list(test.clips())
    for name, index in progress(clips, len(clips), "nearest neighbours", "clip"):
        poses_2d, poses_3d = test.poses(index)
        truth[name], found[name] = poses_3d.cpu(), nearest(poses_2d).cpu()
        constant[name] = mean.expand(len(index), -1, -1).clone()
    for folder, predictions in (("mean_pose", constant), ("nearest_2d", found)):
        save_predictions(output_dir / folder / "3d_pose_estimations.pt", predictions)
        save_predictions(output_dir / folder / "3d_pose_ground_truths.pt", truth)
    print(
        f"{len(test)} test samples (a frame in a camera); {output_dir}\n"
        f"mean_pose: the mean of {len(training)} training samples\n"
        f"nearest_2d: the nearest of {len(nearest)} of {len(training)} training samples, chosen at random"
    )


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/h36m"), help="Human3.6M folder (data/h36m)")
    parser.add_argument("--output_dir", type=Path, default=Path("data/lifting_baselines"), help="folder to write")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--neighbours", type=int, default=MAX_NEIGHBOURS, help=f"training samples to search ({MAX_NEIGHBOURS})"
    )
    options = parser.parse_args()
    show_messages()
    if options.neighbours < 1:
        parser.error(f"--neighbours {options.neighbours}: give 1 or more")
    with parser.one_line_errors():
        write_baselines(options.data_dir, options.output_dir, pick_device(options.device), options.neighbours)


if __name__ == "__main__":
    main()
