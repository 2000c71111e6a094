"""Collects the poses of a run photo by photo, writes its output files, and reads its 2D poses again."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor

from utils.compute.distributed import ALONE, Processes
from utils.osutils import RunFailed, UserError, counted, written_together
from utils.predictions.coco_results import save_coco_results
from utils.predictions.prediction_arrays import save_prediction_array
from utils.predictions.prediction_files import load_predictions, metas_of, save_metas, save_predictions
from utils.predictions.tracks import LEAST_FRAMES, brief_tracks
from utils.transform import H36M, Skeleton

VALIDATION_FILE = "preds_valid.mat"
OF_PEOPLE = ("scores", "boxes", "box_scores", "tracks")  # fields of metas with a row per person
OF_3D = ("skeleton_3d", "unit", "root", "root_positions", "focal", "focal_source", "raw_joints_3d")


@dataclass
class PoseResults:
    """Poses of a run, by photo name. P is 0 for a photo without people.

    Attributes:
        skeleton: the joint order of the 2D poses.
        joints: (P, J, 2) photo pixels, zero-based; NaN for a person whose photo can't be read.
        scores: (P, J) peak heights of the heat maps.
        score_threshold: joints with a lower score should not be drawn; 0 if it was never measured.
        joints_3d: (P, 17, 3) mm, camera coordinates, hip at the origin, order `H36M`; empty without a lifter.
        truth: (P, J, 2) photo pixels; NaN where not annotated. Only for annotated people.
        truth_3d: like `joints_3d`. Only with 3D ground truth.
        metas: plain values per photo, e.g. its boxes and size.
        in_validation_order: (N, J, 2) photo pixels of MPII's validation people, for `preds_valid.mat`; else None.
        image_kind: "photo", or "frame" of a video.
        note: a sentence for the user on how people were found, or "".
        lost: a line on what ended the run early, or "".
    """

    skeleton: Skeleton
    score_threshold: float = 0.0
    joints: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, Tensor] = field(default_factory=dict)
    joints_3d: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)
    truth_3d: dict[str, Tensor] = field(default_factory=dict)
    metas: dict[str, dict] = field(default_factory=dict)
    in_validation_order: Tensor | None = None
    image_kind: str = "photo"
    note: str = ""
    lost: str = ""

    @property
    def people(self) -> int:
        """Number of people in all photos; a person in several video frames counts once per frame."""
        return sum(map(len, self.joints.values()))

    def summary(self, seconds: float) -> str:
        """A line with the number of people and photos and the speed, followed by the note."""
        frames = [meta.get("tracks", ()) for meta in self.metas.values()]
        tracks = {track for people in frames for track in people}
        people = counted(self.people, "person", "people")
        if tracks:
            people = f"{counted(self.people, 'pose')} of {counted(len(tracks), 'person', 'people')}"
            if brief := len(brief_tracks(frames)):
                people += f" ({brief} of them in fewer than {LEAST_FRAMES} frames)"
        line = f"{people} in {counted(len(self.metas), self.image_kind)}, {seconds:.1f} s"
        if self.people:
            line += f", {self.people / seconds:.1f} {'poses' if tracks else 'people'}/s"
        return f"{line}\n{self.note}" if self.note else line

    def require_whole(self) -> None:
        """Raise RunFailed if the run ended early; to be called when what is done has been saved."""
        if self.lost:
            raise RunFailed(self.lost)

    def add(self, name: str, meta: dict, joints: Tensor, scores: Tensor, joints_3d: Tensor | None = None) -> None:
        """Add the people of a photo, as returned by a predictor."""
        self.joints[name], self.scores[name] = joints, scores
        certainty = {"scores": scores.float().cpu(), "score_threshold": self.score_threshold}
        self.metas[name] = {"skeleton": self.skeleton.name} | certainty | meta
        if joints_3d is not None:
            self.add_3d(name, joints_3d)

    def add_3d(self, name: str, joints_3d: Tensor) -> None:
        """Add the 3D poses (P, 17, 3) mm of a photo that has been added."""
        self.joints_3d[name] = joints_3d
        self.metas[name] |= {"skeleton_3d": H36M.name, "unit": "mm", "root": "hip"}

    def extend(self, other: "PoseResults") -> None:
        """Append the people of other photos."""
        for one in fields(self):
            if isinstance(values := getattr(self, one.name), dict):
                values.update(getattr(other, one.name))

    def save(self, directory: Path, processes: Processes = ALONE) -> list[Path]:
        """Write the files that apply, together or none, and return their paths; only rank 0 writes."""
        poses = {
            "2d_pose_estimations.pt": self.joints,
            "3d_pose_estimations.pt": self.joints_3d,
            "2d_pose_ground_truths.pt": self.truth,
            "3d_pose_ground_truths.pt": self.truth_3d,
        }
        names = [name for name, content in poses.items() if content]
        arrays = [] if self.in_validation_order is None else [VALIDATION_FILE]
        if processes.is_main:
            with written_together():
                for name in names:
                    save_predictions(directory / name, poses[name])
                save_metas(directory / "metas.pt", self.metas)
                tracks = {name: meta["tracks"] for name, meta in self.metas.items() if "tracks" in meta}
                joints_3d = self.joints_3d or None
                save_coco_results(directory / "predictions.json", self.joints, self.scores, joints_3d, tracks)
                for name in arrays:
                    save_prediction_array(directory / name, self.in_validation_order)
        return [directory / name for name in (*names, *arrays, "metas.pt", "predictions.json")]


def load_results_2d(path: str | Path, skeleton: Skeleton) -> PoseResults:
    """The 2D poses of a `.pt` file, with what `metas.pt` beside it says of each image; fields of 3D poses are left out.

    Scores are 1 where `metas.pt` has none.

    Args:
        path: image name -> (P, J, 2) px.
        skeleton: the joint order of the file.

    Raises UserError for damaged files, and where `metas.pt` is of another number of people.
    """
    joints, known = load_predictions(path), metas_of(Path(path).parent)
    metas = {name: known[name] if isinstance(known.get(name), dict) else {} for name in joints}
    for name, meta in metas.items():
        people, count = joints[name].shape[:2]
        for kind in OF_PEOPLE:
            values = meta.get(kind)
            if values is not None and (len(values) != people or (kind == "scores" and values.shape[1] != count)):
                shape = " × ".join(map(str, values.shape)) if isinstance(values, Tensor) else len(values)
                raise UserError(
                    f"{Path(path).with_name('metas.pt')}: {name!r} has {shape} {kind} for {people} people with {count} "
                    "joints; give files of the same run"
                )
    scores = {name: meta.get("scores") for name, meta in metas.items()}
    return PoseResults(
        skeleton,
        joints=joints,
        scores={k: torch.ones(joints[k].shape[:2]) if one is None else one for k, one in scores.items()},
        metas={
            name: {kind: value for kind, value in meta.items() if kind not in OF_3D} | {"skeleton": skeleton.name}
            for name, meta in metas.items()
        },
        image_kind="frame" if any("tracks" in meta for meta in metas.values()) else "photo",
    )
