"""Measure a 2D network's errors on validation people, for `train.py 2d3d_h36m --detector_errors`.

python scripts/measure_detector_errors.py --data_dir data/mpii --prediction_file preds_valid.mat --output errors.npz
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.evaluation import MPII_TRUTH_FILE, load_mpii_truth, validation_images
from stacked_hourglass.metrics.validation_predictions import is_by_image, load_validation_predictions
from twod_threed.detector_errors import measure_errors, save_errors
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.osutils import UserError
from utils.transform import H36M_2D, MPII, joint_map


def errors_of(data_dir: Path, prediction_file: Path) -> np.ndarray:
    """(P, 16, 2) errors of the people with all joints annotated. Raises UserError for fewer than two people."""
    truth_path = data_dir / MPII_TRUTH_FILE
    truth = load_mpii_truth(truth_path)
    images = validation_images(data_dir, truth_path, len(truth)) if is_by_image(prediction_file) else []
    found = load_validation_predictions(prediction_file, images, len(truth), MPII)
    whole = ~truth.missing.any(1)
    if whole.sum() < 2:
        raise UserError(f"{truth_path}: {whole.sum()} people with all joints; two or more are needed")
    order = joint_map(MPII, H36M_2D)
    return measure_errors(found[whole][:, order], truth.joints[whole][:, order])


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/mpii"), help="MPII folder (default: data/mpii)")
    parser.add_argument("--prediction_file", type=Path, required=True, help="predictions for its validation people")
    parser.add_argument("--output", type=Path, default=Path("data/detector_errors.npz"), help="file to write (.npz)")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        errors = errors_of(options.data_dir, options.prediction_file)
        save_errors(options.output, errors)
    far = np.linalg.norm(errors, axis=-1)
    print(
        f"{len(errors)} people, {far.size} joints; error in units of the person's size (root mean square distance of "
        f"the joints\nfrom the hip): median {np.median(far):.2f}, mean {far.mean():.2f}, above 0.5 in "
        f"{np.mean(far > 0.5):.0%}\nwrote {options.output}"
    )


if __name__ == "__main__":
    main()
