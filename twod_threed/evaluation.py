"""`python eval.py h36m_MPJPE`: score files of predicted 3D poses on Human3.6M.

    python eval.py h36m_MPJPE --prediction_files a/3d_pose_estimations.pt b/3d_pose_estimations.pt --model_names a b

Tables for all files, and `mpjpe.json`. Every file is read and checked before anything is written. Poses are mm in
camera coordinates, moved here so that the hip is at the origin.
"""

import re
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from twod_threed.mpjpe import JOINT_SETS, Averages, Labels, average, from_hip, joint_velocity_errors, pose_scores
from utils.console.evaluation_tables import format_rows, model_names, tables_as_json
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS
from utils.human36m.files import OFFICIAL_SPELLINGS, find_sequences, load_motions
from utils.osutils import UserError, require_folder, write_text
from utils.predictions.prediction_files import load_predictions
from utils.transform import H36M, H36M_SLOTS

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
# A sequence in a camera, 'S9/Walking 1/54138969', or a single image of one, 'S9/Walking 1/54138969/000001.jpg'.
KEY = re.compile(r"(S\d+)/([^/]+?)(?: \d+)?/[^/]+(?P<image>/[^/]+)?")
# A person's median bone is some 200 to 300 mm. A poor model's poses may be collapsed, so that only the span in which
# metres lie, and poses scaled to unit size, is refused.
METRES = (0.02, 1.0)
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

Sequences = Mapping[str, Tensor]


def h36m_MPJPE(options: Namespace) -> None:
    """Print and write the errors of 3D poses (`DEFINITIONS`; `twod_threed.mpjpe`) of prediction files.

    Reads `prediction_files` and `pose_3d_ground_truths` (`.pt`, 'S9/Walking 1/54138969' -> frames × 17 × 3 mm, or an
    image, 'S9/Walking 1/54138969/000001.jpg' -> 1 × 17 × 3; predictions × 16 without the hip), `data_dir`,
    `model_names` (None: from the files' names) and `output_dir` of `options`; writes `mpjpe.json` there. The truth is
    the file given; else, where the command line names `data_dir` (`options.given`), all of S9 and S11 in that
    Human3.6M folder; else `3d_pose_ground_truths.pt` beside each prediction file; else the default folder. Raises
    UserError, with nothing written, for a file that is missing, damaged, of other sequences or frames than the truth,
    in metres, or not finite.
    """
    paths = [Path(path) for path in options.prediction_files]
    names = model_names(paths, options.model_names)
    output_dir = require_folder(options.output_dir)
    truth_paths = [_truth_path(path, options) for path in paths]
    truths = {path: _load_truth(path, options) for path in dict.fromkeys(truth_paths)}
    predictions = [load_predicted(path, truths[truth], truth) for path, truth in zip(paths, truth_paths, strict=True)]

    models = {
        name: score(prediction, truths[truth])
        for name, prediction, truth in zip(names, predictions, truth_paths, strict=True)
    }
    print(format_report(models, dict(zip(names, truth_paths, strict=True))))
    write_text(output_dir / "mpjpe.json", tables_as_json({name: as_table(model) for name, model in models.items()}))
    print(f"\nwrote {output_dir / 'mpjpe.json'}")


# Files


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
    return ground_truth_of_folder(path) if from_folder else load_ground_truth(path)


def ground_truth_of_folder(data_dir: Path) -> dict[str, Tensor]:
    """Poses of the test subjects in every camera: key -> (frames, 17, 3) mm, camera coordinates, hip at the origin.

    Raises UserError as `find_sequences`, `load_motions` and `Human36mFiles.cameras`.
    """
    files = find_sequences(data_dir)
    sequences, cameras = files.select(TEST_SUBJECTS), files.cameras()
    truth = {}
    for sequence, positions, _ in load_motions(sequences, H36M_SLOTS):
        world = torch.from_numpy(positions).double()
        for camera in (camera for (subject, _), camera in cameras.items() if subject == sequence.subject):
            key = f"S{sequence.subject}/{sequence.name}/{camera.name}"
            truth[key] = from_hip(camera.world_to_camera(world)).float()
    return truth


def load_ground_truth(path: Path) -> dict[str, Tensor]:
    """Read true poses: key -> (frames, 17, 3) mm, as on file.

    Raises UserError as `load_predictions`, and for other keys, shapes or units, for NaN, and for no frame.
    """
    truth = load_predictions(path)
    _check_keys_and_shapes(truth, path, (len(H36M),))
    empty = next((key for key, poses in truth.items() if not len(poses)), None)
    if empty is not None:
        raise UserError(f"{path}: {empty!r} has no frame; every sequence of a ground truth has at least one")
    _check_values(truth, path)
    return truth


def load_predicted(path: Path, truth: Sequences, truth_path: Path) -> dict[str, Tensor]:
    """Read predictions of just the sequences and frames of `truth`: key -> (frames, 17 or 16, 3) mm, as on file.

    16 are the joints without the hip, relative to it. Raises UserError for anything else, metres, and NaN.
    """
    if path.suffix.lower() != ".pt":
        raise UserError(f"--prediction_files {path}: unknown suffix {path.suffix!r}; 3D poses are .pt files of run.py")
    poses = load_predictions(path)
    _check_keys_and_shapes(poses, path, (len(H36M), len(JOINT_SETS[16])))
    missing, surplus = [key for key in truth if key not in poses], [key for key in poses if key not in truth]
    if missing or surplus:
        detail = f"{missing[0]!r} is missing" if missing else f"{surplus[0]!r} has no truth"
        raise UserError(
            f"{path}: of the {len(truth)} sequences of {truth_path} {len(missing)} are missing, and there are "
            f"{len(surplus)} others ({detail}); right is one prediction for each, from the same data and --action"
        )
    other = next((key for key in truth if len(poses[key]) != len(truth[key])), None)
    if other is not None:
        raise UserError(
            f"{path}: {other!r} has {len(poses[other])} frames, its truth in {truth_path} has {len(truth[other])}; "
            "one pose for each frame is right"
        )
    _check_values(poses, path)
    return {key: poses[key] for key in truth}


def _check_keys_and_shapes(poses: Sequences, path: Path, joint_counts: Sequence[int]) -> None:
    if not poses:
        raise UserError(f"{path}: holds no sequence; right is 'S9/Walking 1/54138969' -> frames × 17 × 3 mm and so on")
    bad_key = next((key for key in poses if not KEY.fullmatch(key)), None)
    if bad_key is not None:
        raise UserError(
            f"{path}: {bad_key!r} is no sequence of Human3.6M (an image's name?); right are subject/sequence/camera, "
            "such as 'S9/Walking 1/54138969', as run.py 2d3d_h36m writes them, or images of these"
        )
    shapes = {tuple(value.shape[1:]) for value in poses.values()}
    if len(shapes) > 1 or next(iter(shapes)) not in {(count, 3) for count in joint_counts}:
        found = ", ".join(f"{joints} × {numbers}" for joints, numbers in sorted(shapes))
        right = " or ".join(f"{count} × 3" for count in joint_counts)
        raise UserError(f"{path}: poses are {found}; every pose is {right} (mm, joints in Human3.6M's order)")


def _check_values(poses: Sequences, path: Path) -> None:
    """UserError for values that are not finite, and for poses in metres."""
    joints = _joints(poses)
    bad = {key: ~value.isfinite().all(dim=2) for key, value in poses.items()}
    count = sum(int(frames.any(dim=1).sum()) for frames in bad.values())
    if count:
        key, frames = next((key, frames) for key, frames in bad.items() if frames.any())
        frame = int(frames.any(dim=1).nonzero()[0])
        named = ", ".join(joints[joint] for joint in frames[frame].nonzero().flatten().tolist())
        raise UserError(
            f"{path}: {count} of {sum(map(len, poses.values()))} frames have NaN or infinite joints, first frame "
            f"{frame} (from 0) of {key!r} ({named}); every joint of every frame needs a position"
        )
    median = _median_bone(poses, joints)
    if METRES[0] <= median <= METRES[1]:
        raise UserError(
            f"{path}: the median bone is {median:.3g} long, so that these look like metres (or normalised poses); "
            "poses are in mm, where it is some 250: multiply metres by 1000"
        )


def _joints(poses: Sequences) -> tuple[str, ...]:
    return JOINT_SETS[next(iter(poses.values())).shape[1]]


def _median_bone(poses: Sequences, joints: Sequence[str]) -> float:
    """Median length over all frames and those bones of which both ends are among `joints`."""
    starts, ends = zip(*[map(joints.index, bone) for bone in H36M.bones if set(bone) <= set(joints)], strict=True)
    lengths = [(value[:, starts] - value[:, ends]).float().norm(dim=2).flatten() for value in poses.values()]
    return torch.cat(lengths).median().item()


# Scores


@dataclass(frozen=True)
class Model:
    """What one prediction file scored.

    Attributes:
        averages: number of joints, the most first -> measure, as in `COLUMNS` -> its means.
        sequences, frames: how many.
        images: how many of the frames are single images, which have no velocity.
        hip_offset: mm, the largest distance of a predicted or true hip from the origin; the poses were moved by it.
    """

    averages: Mapping[int, Mapping[str, Averages]]
    sequences: int
    frames: int
    images: int
    hip_offset: float

    @property
    def joints(self) -> int:
        """How many joints the file has; the first of `averages`."""
        return next(iter(self.averages))


def score(prediction: Sequences, truth: Sequences) -> Model:
    """All measures of `prediction`, key -> (frames, 17 or 16, 3) mm, over each set of joints that it has.

    `truth` has the same keys, in the same order, and 17 joints. Every pose is moved by its own hip; 16 joints are taken
    as relative to it already.
    """
    prediction, truth = _join_images(prediction), _join_images(truth)
    counts, hip = [count for count in JOINT_SETS if count <= len(_joints(prediction))], H36M.index("pelvis")
    offsets = [poses[:, hip] for file in (prediction, truth) for poses in file.values() if poses.shape[1] == len(H36M)]
    return Model(
        averages={count: _averages(prediction, truth, JOINT_SETS[count]) for count in counts},
        sequences=len({key.removesuffix(_image_of(key)) for key in truth}),
        frames=sum(map(len, truth.values())),
        images=sum(len(poses) for key, poses in truth.items() if _image_of(key)),
        hip_offset=max(offset.norm(dim=1).max().item() for offset in offsets),
    )


def _image_of(key: str) -> str:
    """ "/000001.jpg" of the key of a single image; "" of a sequence's."""
    return KEY.fullmatch(key)["image"] or ""


def _join_images(poses: Sequences) -> dict[str, Tensor]:
    """All images of a sequence in one entry, 'S9/Walking 1/54138969/*', since one at a time is slow to score."""
    joined = defaultdict(list)
    for key, value in poses.items():
        image = _image_of(key)
        joined[f"{key.removesuffix(image)}/*" if image else key].append(value)
    return {key: torch.cat(values) for key, values in joined.items()}


def _averages(prediction: Sequences, truth: Sequences, counted: Sequence[str]) -> dict[str, Averages]:
    """Measure -> means over all sequences and the joints `counted`."""
    joints = H36M.indices(counted)
    scores, velocities = defaultdict(list), [torch.zeros(0, len(counted), dtype=torch.float64)]
    steps = {key: len(gt) - 1 for key, gt in truth.items() if len(gt) > 1 and not _image_of(key)}
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
    """The printed tables: what the numbers mean, all models beside one another, then each by action, subject, joint."""
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
    """For sorting: Human3.6M's order, other names behind."""
    return (ACTIONS.index(action) if action in ACTIONS else len(ACTIONS), action)


def _action_row(averages: Averages, action: str, subjects: Sequence[str]) -> list[float]:
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


def _measures(averages: Mapping[str, Averages]) -> dict[str, float]:
    return {
        **{measure: averages[measure].frame_averaged for measure in COLUMNS},
        **{f"{measure}_action_averaged": averages[measure].action_averaged for measure in COLUMNS},
    }
