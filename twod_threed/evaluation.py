"""`python eval.py h36m_MPJPE`: score files of predicted 3D poses on Human3.6M.

    python eval.py h36m_MPJPE --prediction_files a/3d_pose_estimations.pt b/3d_pose_estimations.pt --model_names a b

Tables for all files, `mpjpe.json`, and plots as PNG and PDF: 3D PCK over thresholds (`mpjpe_pck`), MPJPE by joint and
by action (`mpjpe_joints`, `mpjpe_actions`). Every file is read and checked before anything is written. Poses are mm in
camera coordinates, moved here so that the hip is at the origin.
"""

from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from twod_threed.mpjpe import (
    AUC_THRESHOLDS,
    JOINT_SETS,
    Labels,
    MeasureMeans,
    average,
    detected,
    from_hip,
    joint_errors,
    joint_velocity_errors,
    pose_scores,
)
from twod_threed.pose_sequences import (
    KEY,
    Sequences,
    ground_truth_of_folder,
    image_of,
    joint_names,
    load_predicted,
    load_true_poses,
)
from utils.console.evaluation_tables import format_rows, model_names, tables_as_json
from utils.human36m.actions import ACTIONS
from utils.human36m.files import OFFICIAL_SPELLINGS
from utils.osutils import UserError, output_folder, write_text
from utils.transform import H36M

GROUND_TRUTH_FILE = "3d_pose_ground_truths.pt"
COLUMNS = {
    "protocol_1": "Protocol 1",
    "protocol_2": "Protocol 2",
    "n_mpjpe": "N-MPJPE",
    "mpjve": "MPJVE",
    "pck_150": "PCK@150",
    "auc": "AUC",
}
GRID_COLUMNS = ("protocol_1", "protocol_2", "n_mpjpe")
CENTRED = 0.1  # mm, more than the rounding of float32

DEFINITIONS = """\
3D pose errors on Human3.6M, in mm; camera coordinates, predicted and true poses moved so that the hip is at the origin
  Protocol 1: MPJPE, mean distance of a joint from its truth
  Protocol 2: P-MPJPE, the same after the rotation, scale and translation that take each pose nearest to its truth
  N-MPJPE: the same after the scale alone that takes each pose nearest to its truth
  MPJVE: velocity error, mean distance between a joint's predicted and true motion, mm from one frame to the next;
  single images have none
  PCK@150: joints with an error (as in Protocol 1) < 150 mm, in %; AUC: mean of PCK at 0, 5, ..., 150 mm, in %
  17 joints: all that move, of which the hip has error 0 in Protocol 1; 16: without the hip; 14: without hip, spine and
  nose; alignments are fitted to the joints that count"""


def h36m_MPJPE(options: Namespace) -> None:
    """Print and write the errors of 3D poses (`DEFINITIONS`; `twod_threed.mpjpe`) of prediction files.

    Reads of `options`:
        prediction_files: `.pt`, 'S9/Walking 1/54138969' -> frames × 17 × 3 mm (or × 16, without the hip), or an image,
            'S9/Walking 1/54138969/000001.jpg' -> 1 × 17 × 3; or `.mat`, `.h5`, `.npz`, all frames in the order of the
            truth as one array (`pose_sequences.load_predicted`).
        pose_3d_ground_truths: the truth, such a `.pt` with 17 joints. None: where the command line names `data_dir`
            (`given`), all of S9 and S11 in that Human3.6M folder; else `3d_pose_ground_truths.pt` beside each
            prediction file; else the default folder.
        model_names: None takes them from the files' names.
        output_dir: where `mpjpe.json` goes.

    Raises UserError, with nothing written, for a file that is missing, damaged, of other sequences or frames than the
    truth, in metres, or not finite.
    """
    paths = [Path(path) for path in options.prediction_files]
    names = model_names(paths, options.model_names)
    output_dir = output_folder(options.output_dir)
    truth_paths = [_truth_path(path, options) for path in paths]
    truths = {path: _load_truth(path, options) for path in dict.fromkeys(truth_paths)}
    predictions = [load_predicted(path, truths[truth], truth) for path, truth in zip(paths, truth_paths, strict=True)]

    models = {
        name: score(prediction, truths[truth])
        for name, prediction, truth in zip(names, predictions, truth_paths, strict=True)
    }
    print(format_report(models, dict(zip(names, truth_paths, strict=True))))
    write_text(output_dir / "mpjpe.json", tables_as_json({name: as_table(model) for name, model in models.items()}))
    plots = draw_plots(models, output_dir)
    print(f"\nwrote {output_dir / 'mpjpe.json'} and {', '.join(plots)}, each also as PDF")


# Truth


def _truth_path(prediction_path: Path, options: Namespace) -> Path:
    """Where the true poses for a prediction file are: a `.pt` file or the Human3.6M folder."""
    if options.pose_3d_ground_truths is not None:
        return Path(options.pose_3d_ground_truths)
    beside, data_dir = prediction_path.parent / GROUND_TRUTH_FILE, Path(options.data_dir)
    if "data_dir" in getattr(options, "given", ()):
        return data_dir
    if not beside.is_file() and not data_dir.is_dir():
        raise UserError(
            f"{beside} does not exist, nor does --data_dir {data_dir}; give --3d_pose_ground_truths (run.py "
            "2d3d_h36m writes it beside its predictions), a Human3.6M folder as --data_dir, or --data_dir sample"
        )
    return beside if beside.is_file() else data_dir


def _load_truth(path: Path, options: Namespace) -> dict[str, Tensor]:
    from_folder = options.pose_3d_ground_truths is None and path == Path(options.data_dir)
    return ground_truth_of_folder(path) if from_folder else load_true_poses(path)


# Scores


@dataclass(frozen=True)
class Model:
    """Scores of one prediction file.

    Attributes:
        averages: number of joints (descending) -> measure of `COLUMNS` -> its means.
        sequences, frames: their numbers.
        images: number of frames that are single images, which have no velocity.
        hip_offset: mm, the largest distance of a predicted or true hip from the origin before it was moved there.
        pck_curve: 3D PCK in percent at `AUC_THRESHOLDS`, over all joints of the file.
    """

    averages: Mapping[int, Mapping[str, MeasureMeans]]
    sequences: int
    frames: int
    images: int
    hip_offset: float
    pck_curve: Sequence[float]

    @property
    def joints(self) -> int:
        """Number of joints in the file; the first key of `averages`."""
        return next(iter(self.averages))


def score(prediction: Sequences, truth: Sequences) -> Model:
    """All measures of `prediction`, key -> (frames, 17 or 16, 3) mm, over each set of joints that it has.

    `truth` has the same keys, in the same order, and 17 joints. Every pose is moved by its own hip; 16 joints are taken
    as relative to it already.
    """
    prediction, truth = _join_images(prediction), _join_images(truth)
    counts, hip = [count for count in JOINT_SETS if count <= len(joint_names(prediction))], H36M.index("pelvis")
    offsets = [poses[:, hip] for file in (prediction, truth) for poses in file.values() if poses.shape[1] == len(H36M)]
    return Model(
        averages={count: _averages(prediction, truth, JOINT_SETS[count]) for count in counts},
        sequences=len({key.removesuffix(image_of(key)) for key in truth}),
        frames=sum(map(len, truth.values())),
        images=sum(len(poses) for key, poses in truth.items() if image_of(key)),
        hip_offset=max(offset.norm(dim=1).max().item() for offset in offsets),
        pck_curve=_pck_curve(prediction, truth, JOINT_SETS[counts[0]]),
    )


def _pck_curve(prediction: Sequences, truth: Sequences, counted: Sequence[str]) -> list[float]:
    """3D PCK in percent at `AUC_THRESHOLDS` over all frames and the joints `counted`."""
    joints = H36M.indices(counted)
    errors = [
        joint_errors(from_hip(prediction[key])[:, joints], from_hip(poses)[:, joints]) for key, poses in truth.items()
    ]
    together = torch.cat(errors)
    return [detected(together, threshold).mean().item() for threshold in AUC_THRESHOLDS]


def _join_images(poses: Sequences) -> dict[str, Tensor]:
    """All images of a sequence in one entry, 'S9/Walking 1/54138969/*', since one at a time is slow to score."""
    joined = defaultdict(list)
    for key, value in poses.items():
        image = image_of(key)
        joined[f"{key.removesuffix(image)}/*" if image else key].append(value)
    return {key: torch.cat(values) for key, values in joined.items()}


def _averages(prediction: Sequences, truth: Sequences, counted: Sequence[str]) -> dict[str, MeasureMeans]:
    """Measure -> means over all sequences and the joints `counted`."""
    joints = H36M.indices(counted)
    scores, velocities = defaultdict(list), [torch.zeros(0, len(counted), dtype=torch.float64)]
    steps = {key: len(gt) - 1 for key, gt in truth.items() if len(gt) > 1 and not image_of(key)}
    for key, gt in truth.items():
        pair = [from_hip(poses)[:, joints] for poses in (prediction[key], gt)]
        for measure, values in pose_scores(*pair).items():
            scores[measure].append(values)
        if key in steps:
            velocities.append(joint_velocity_errors(*pair))
    labels = _labels({key: len(gt) for key, gt in truth.items()})
    averages = {measure: average(torch.cat(values), counted, *labels) for measure, values in scores.items()}
    return averages | {"mpjve": average(torch.cat(velocities), counted, *_labels(steps))}


def _labels(frames: Mapping[str, int]) -> tuple[Labels, Labels]:
    """Actions and subjects of the frames of sequences, key -> number of frames, one after the other."""
    subjects, actions = zip(*[KEY.fullmatch(key).group(1, 2) for key in frames], strict=True) if frames else ((), ())
    actions = [OFFICIAL_SPELLINGS.get(action, action) for action in actions]
    counts = list(frames.values())
    return Labels.repeat(actions, counts), Labels.repeat(subjects, counts)


# Output


def format_report(models: Mapping[str, Model], truth_paths: Mapping[str, Path]) -> str:
    """The printed tables: definitions, all models side by side, then each by action, subject and joint."""
    lines = [DEFINITIONS, ""]
    for name, model in models.items():
        lines.append(f"{name}: {model.frames} frames of {model.sequences} sequences, truth {truth_paths[name]}")
        if model.joints == len(JOINT_SETS[16]):
            lines.append("  16 joints a pose, without the hip: taken as relative to it, and compared over the 16")
        if model.images:
            lines.append(f"  {model.images} frames are single images: left out of MPJVE, which needs two in a row")
        if model.hip_offset > CENTRED:
            lines.append(f"  hips were up to {model.hip_offset:.1f} mm from the origin: moved there")
    for title, attribute in (
        ("frame-averaged (every frame weighs the same)", "frame_averaged"),
        ("action-averaged (mean of the actions' means)", "action_averaged"),
    ):
        rows = [
            (f"{name}, {count} joints", [getattr(averages[measure], attribute) for measure in COLUMNS])
            for name, model in models.items()
            for count, averages in model.averages.items()
        ]
        lines += ["", *format_rows(title, list(COLUMNS.values()), rows)]
    for name, model in models.items():
        lines += ["", *_action_grid(name, model), "", *_joint_grid(name, model)]
    return "\n".join(lines)


def _action_grid(name: str, model: Model) -> list[str]:
    """Action × subject, side by side for each of `GRID_COLUMNS`."""
    averages = model.averages[model.joints]
    grids = [averages[measure] for measure in GRID_COLUMNS]
    subjects = sorted(next(iter(grids[0].per_action_and_subject.values())), key=lambda subject: int(subject[1:]))
    columns = [f"{_short(measure)} {who}" for measure in GRID_COLUMNS for who in (*subjects, "all")]
    rows = [
        (action, [value for grid in grids for value in _action_row(grid, action, subjects)])
        for action in sorted(grids[0].per_action, key=_place)
    ]
    means = torch.tensor([values for _, values in rows], dtype=torch.float64).nanmean(dim=0).tolist()
    title = f"{name}, {model.joints} joints, mm: P1, P2, N-MPJPE by action and subject"
    return [title, *format_rows("action", columns, [*rows, ("mean of actions", means)])]


def _place(action: str) -> tuple[int, str]:
    """Sort key: Human3.6M's order, followed by other names."""
    return (ACTIONS.index(action) if action in ACTIONS else len(ACTIONS), action)


def _action_row(averages: MeasureMeans, action: str, subjects: Sequence[str]) -> list[float]:
    by_subject = averages.per_action_and_subject[action]
    return [*(by_subject[subject] for subject in subjects), averages.per_action[action]]


def _joint_grid(name: str, model: Model) -> list[str]:
    """Joint × measure, over all frames."""
    averages = model.averages[model.joints]
    rows = [
        (joint, [averages[measure].per_joint[joint] for measure in COLUMNS]) for joint in averages["mpjve"].per_joint
    ]
    means = ("mean of joints", [averages[measure].frame_averaged for measure in COLUMNS])
    title = f"{name}, {model.joints} joints, by joint, frame-averaged; mm, and % in the last two columns"
    return [title, *format_rows("joint", list(COLUMNS.values()), [*rows, means])]


def _short(measure: str) -> str:
    return COLUMNS[measure].replace("Protocol ", "P").replace("N-MPJPE", "N")


def draw_plots(models: Mapping[str, Model], output_dir: Path) -> list[str]:
    """Write all plots, and return the names of the PNG files."""
    from twod_threed.error_plots import (  # noqa: PLC0415 - imports matplotlib
        ACTIONS_FILE,
        JOINTS_FILE,
        PCK_FILE,
        draw_error_bars,
        draw_pck_3d,
    )

    draw_pck_3d({name: model.pck_curve for name, model in models.items()}, output_dir / PCK_FILE)
    first = {name: model.averages[model.joints]["protocol_1"] for name, model in models.items()}
    joints = {name: means.per_joint for name, means in first.items()}
    actions = {
        name: {action: means.per_action[action] for action in sorted(means.per_action, key=_place)}
        for name, means in first.items()
    }
    draw_error_bars(joints, "MPJPE by joint (Protocol 1)", output_dir / JOINTS_FILE)
    draw_error_bars(actions, "MPJPE by action (Protocol 1)", output_dir / ACTIONS_FILE)
    return [PCK_FILE, JOINTS_FILE, ACTIONS_FILE]


def as_table(model: Model) -> dict:
    """One model of `mpjpe.json`: frame-averaged over all joints of the file, unless the name says otherwise.

    `per_joint` and `per_action` are Protocol 1; `by_number_of_joints` has all measures for each set of joints.
    """
    averages = model.averages[model.joints]
    return {
        **_measures(averages),
        "per_joint": averages["protocol_1"].per_joint,
        "per_action": averages["protocol_1"].per_action,
        "per_joint_protocol_2": averages["protocol_2"].per_joint,
        "per_action_protocol_2": averages["protocol_2"].per_action,
        "per_action_and_subject": averages["protocol_1"].per_action_and_subject,
        "joints": model.joints,
        "frames": model.frames,
        "sequences": model.sequences,
        "by_number_of_joints": {str(count): _measures(each) for count, each in model.averages.items()},
    }


def _measures(averages: Mapping[str, MeasureMeans]) -> dict[str, float]:
    return {
        **{measure: averages[measure].frame_averaged for measure in COLUMNS},
        **{f"{measure}_action_averaged": averages[measure].action_averaged for measure in COLUMNS},
    }
