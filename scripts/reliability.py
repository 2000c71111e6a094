"""Calibrates an hourglass's confidence: fraction of correct joints against peak height, and a drawing threshold.

python run.py hourglass_mpii --load CHECKPOINT --data_dir data/mpii --flip --output_dir data/hourglass_mpii
python scripts/reliability.py --data_dir data/mpii --run_dir data/hourglass_mpii --output_dir visualizations/reliability
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.metrics.pckh import normalised_errors
from stacked_hourglass.trainer import NOT_SCORED
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.look.palette import model_line
from utils.look.plots import save_plot
from utils.osutils import UserError, write_text
from utils.predictions.prediction_files import load_metas, load_predictions

RIGHT = 0.5  # head sizes, as in PCKh@0.5
NEAR = 1.0  # head sizes, within which a drawn joint still shows the limb
# Minimum probability of being near for a joint to be drawn. It is measured on joints that somebody saw and marked; of
# hidden and cut-off ones fewer are near, so more than half is asked.
LIKELY = 0.6
BINS = 10
DEFINITION = (
    f"right: closer to the truth than {RIGHT} × the head size (PCKh@{RIGHT}); near: than {NEAR:g} × the head "
    "size; annotated joints without pelvis, thorax; confidence: height of the heat map's peak"
)


class Joints(NamedTuple):
    """N joints of all people, in the order of their scores: (N,) scores and (N,) errors in head sizes."""

    scores: np.ndarray
    errors: np.ndarray

    @property
    def right(self) -> np.ndarray:
        return self.errors <= RIGHT

    @property
    def near(self) -> np.ndarray:
        return self.errors <= NEAR


def read_joints(data_dir: Path, run_dir: Path) -> Joints:
    """The annotated joints of the validation people in the output of `run.py hourglass_mpii`.

    Raises UserError if the folder holds no such output.
    """
    _, people = load_mpii(data_dir)
    found = load_predictions(run_dir / "2d_pose_estimations.pt")
    metas = load_metas(run_dir / "metas.pt")
    scored = [number for number, joint in enumerate(people.skeleton.joints) if joint not in NOT_SCORED]
    scores, errors = [], []
    for name, joints in found.items():
        index, certainty = (metas[name].get(key) for key in ("annotation_index", "scores"))
        if index is None or certainty is None or joints.shape[1] != len(people.skeleton):
            raise UserError(f"{run_dir}: {name!r} is no annotated photo; give the output of run.py on {data_dir}")
        truth = people.joints[index].astype(np.float64)
        distances = normalised_errors(joints.double().numpy(), truth, people.head_size[index])[:, scored]
        counted = people.annotated[index][:, scored] & np.isfinite(distances)
        scores.append(certainty.numpy()[:, scored][counted])
        errors.append(distances[counted])
    scores, errors = np.concatenate(scores), np.concatenate(errors)
    order = scores.argsort(kind="stable")
    return Joints(scores[order], errors[order])


def calibrate(hits: np.ndarray) -> np.ndarray:
    """(N,) booleans in the order of scores -> (N,) probabilities by isotonic (non-decreasing) regression."""
    return isotonic_regression(hits.astype(float)).x


def threshold_of(joints: Joints) -> float:
    """The lowest score from which on a joint is near its true position with probability `LIKELY`; the highest if none
    is."""
    likely = np.flatnonzero(calibrate(joints.near) >= LIKELY)
    return float(joints.scores[likely[0]] if len(likely) else joints.scores[-1])


def bins_of(joints: Joints) -> list[dict[str, float]]:
    """The joints in `BINS` bins of equal size, from the least to the most confident."""
    return [
        {
            "from": float(scores[0]), "to": float(scores[-1]), "joints": len(scores),
            "right_percent": 100 * float(np.mean(errors <= RIGHT)),
            "near_percent": 100 * float(np.mean(errors <= NEAR)), "median_error_head_sizes": float(np.median(errors)),
        }
        for scores, errors in zip(*(np.array_split(values, BINS) for values in joints), strict=True)
    ]  # fmt: skip


def summary(joints: Joints) -> dict:
    """Threshold, what it keeps, and the bins."""
    threshold = threshold_of(joints)
    kept = joints.scores >= threshold
    return {
        "definition": DEFINITION,
        "threshold": threshold,
        "right_percent": 100 * float(joints.right.mean()),
        "kept_percent": 100 * float(kept.mean()),
        "right_of_kept_percent": 100 * float(joints.right[kept].mean()),
        "near_of_kept_percent": 100 * float(joints.near[kept].mean()),
        "bins": bins_of(joints),
    }


def table(joints: Joints, found: dict) -> str:
    """The bins and the threshold as text."""
    lines = [
        f"{len(joints.scores)} joints. {DEFINITION}",
        f"{'confidence':>16}{'right, %':>10}{'near, %':>10}{'median error, head sizes':>26}",
    ]
    for part in found["bins"]:
        span, median = f"{part['from']:.3f} to {part['to']:.3f}", part["median_error_head_sizes"]
        lines.append(f"{span:>16}{part['right_percent']:>10.1f}{part['near_percent']:>10.1f}{median:>26.2f}")
    near, right = found["near_of_kept_percent"], found["right_of_kept_percent"]
    lines.append(
        f"threshold {found['threshold']:.3f}: from there on at least {LIKELY:.0%} of the joints are near; "
        f"{found['kept_percent']:.1f} % of the joints are above, of which {near:.1f} % are near and {right:.1f} % "
        f"right (of all {found['right_percent']:.1f} %)"
    )
    return "\n".join(lines)


def draw(joints: Joints, found: dict, path: Path) -> None:
    """Plot the fraction of correct joints, and the median error, against confidence, as PNG and PDF."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    rates, errors = figure.subplots(1, 2)
    middles = [(part["from"] + part["to"]) / 2 for part in found["bins"]]
    for index, (kind, limit, hits) in enumerate((("right", RIGHT, joints.right), ("near", NEAR, joints.near))):
        color, look = model_line(index)[0], ("-", "--")[index]
        label = f"closer than {limit:g} × head size"
        rates.step(joints.scores, 100 * calibrate(hits), look, color=color, where="post", label=label)
        rates.plot(middles, [part[f"{kind}_percent"] for part in found["bins"]], "os"[index], color=color)
    rates.set(ylabel=f"joints, % (isotonic fit; dots: {BINS} equal parts)", ylim=(0, 100))
    errors.plot(middles, [part["median_error_head_sizes"] for part in found["bins"]], "o-", color=model_line(2)[0])
    errors.set(ylabel="median error, head sizes", ylim=(0, None))
    for axes in (rates, errors):
        axes.axvline(found["threshold"], linestyle=":", color="black", label=f"threshold {found['threshold']:.3f}")
        axes.set(xlabel="confidence (height of the peak)", xlim=(0, None))
        axes.grid(alpha=0.3)
    rates.legend()
    save_plot(figure, path)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/mpii"), help="MPII folder (data/mpii)")
    parser.add_argument("--run_dir", type=Path, default=Path("data/hourglass_mpii"), help="output of run.py on it")
    parser.add_argument("--output_dir", type=Path, default=Path("visualizations/reliability"), help="for PNG and JSON")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        joints = read_joints(options.data_dir, options.run_dir)
        found = summary(joints)
        draw(joints, found, options.output_dir / "reliability.png")
        write_text(options.output_dir / "reliability.json", json.dumps(found, indent=1))
    print(f"{table(joints, found)}\nwrote {options.output_dir / 'reliability.png'} and reliability.json")


if __name__ == "__main__":
    main()
