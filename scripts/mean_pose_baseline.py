"""Write the baseline that any trained network must beat: the training set's mean pose, placed in every crop.

python scripts/mean_pose_baseline.py --data_dir data/mpii --output mean_pose.mat
python eval.py mpii_PCKh --data_dir data/mpii --prediction_files mean_pose.mat
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.imaging.images import CROP_SIZE, apply_affine, crop_matrix, invert_affine
from utils.predictions.prediction_arrays import save_prediction_array


def crop_matrices(people: People) -> np.ndarray:
    """(N, 2, 3) maps from photo pixels to the crop of each person."""
    return np.array([crop_matrix(center, side) for center, side in zip(people.center, people.side, strict=True)])


def mean_pose(training: People) -> np.ndarray:
    """(J, 2) mean of the annotated joints in crop pixels; the crop's centre for a joint without annotations."""
    joints = apply_affine(crop_matrices(training), training.joints)
    weights = training.annotated[..., None]
    total = (joints * weights).sum(0)
    count = weights.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), (CROP_SIZE - 1) / 2)


def place(pose: np.ndarray, people: People) -> np.ndarray:
    """(N, J, 2) photo pixels: a pose in crop pixels, placed in each person's crop."""
    return apply_affine(invert_affine(crop_matrices(people)), np.broadcast_to(pose, (len(people), *pose.shape)))


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/mpii"), help="MPII folder (default: data/mpii)")
    parser.add_argument("--output", type=Path, default=Path("data/mean_pose.mat"), help="prediction file to write")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        training, validation = load_mpii(options.data_dir)
        save_prediction_array(options.output, place(mean_pose(training), validation))
    print(f"mean pose of {len(training)} people, placed for {len(validation)}: {options.output}")


if __name__ == "__main__":
    main()
