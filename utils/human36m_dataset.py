"""Human3.6M poses on the training device: one tensor that batches index into, with batched geometry.

A sample is a frame seen by one of the four cameras: sample i is frame i // 4, camera i % 4.
"""

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from utils.camera_utils import CAMERA_NAMES, TENSOR_SHAPES, Camera, stack_cameras
from utils.data_utils import OrthogonalAugmentation, centre_on_hip, gather_poses, lifter_input_joints
from utils.human36m.files import Human36mFiles, Sequence, load_detections, load_motions
from utils.transform import H36M_2D, H36M_SLOTS, MPII, joint_map

CAMERAS = len(CAMERA_NAMES)
SAMPLES_AT_ONCE = 65536


@dataclass(frozen=True, eq=False)
class PoseSet:
    """All frames of some sequences, seen by the four cameras.

    Attributes:
        sequences: the sequences of the frames.
        world: (F, 17, 3) float32, mm, world coordinates.
        sequence: (F,) index into `sequences`.
        row: (F,) row of the frame in its file.
        cameras: the cameras of all subjects, stacked.
        first_camera: (F,) index of the first of the four cameras of the frame's subject.
        detections: (F, 4, 16, 2) float32 px, detected 2D poses used instead of projected ones, or None.
        places: definition of spine and thorax in projected poses, see `lifter_input_joints`.
    """

    sequences: tuple[Sequence, ...]
    world: Tensor
    sequence: Tensor
    row: Tensor
    cameras: Camera
    first_camera: Tensor
    detections: Tensor | None = None
    places: str = "h36m"

    def __len__(self) -> int:
        return CAMERAS * len(self.world)

    @property
    def device(self) -> torch.device:
        return self.world.device

    def to(self, device: torch.device) -> "PoseSet":
        moved = {
            name: getattr(self, name).to(device) for name in ("world", "sequence", "row", "cameras", "first_camera")
        }
        detections = None if self.detections is None else self.detections.to(device)
        return replace(self, detections=detections, **moved)

    def frames(self, chosen: Tensor) -> "PoseSet":
        """A subset of the frames, given by a mask (F,) or indices."""
        per_frame = {name: getattr(self, name)[chosen] for name in ("world", "sequence", "row", "first_camera")}
        return replace(self, detections=None if self.detections is None else self.detections[chosen], **per_frame)

    def poses(
        self,
        index: Tensor,
        augmentation: OrthogonalAugmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """2D and 3D poses of the samples `index` (B,).

        Returns: (B, 16, 2) px of the original image, in the order `transform.H36M_2D`; and (B, 17, 3) mm, camera
        coordinates, hip at the origin. Augmented poses are projected by the sample's camera.
        """
        frame, number = index // CAMERAS, index % CAMERAS
        world = gather_poses(self.world, frame)
        if augmentation is not None:
            world = augmentation(world, generator)
        cameras = self.cameras_of(self.first_camera.index_select(0, frame) + number)
        seen = cameras.world_to_camera(world)
        if self.detections is not None:
            return self.detections[frame, number], centre_on_hip(seen)
        return cameras.project(lifter_input_joints(seen, self.places)), centre_on_hip(seen)

    def cameras_of(self, index: Tensor) -> Camera:
        """One camera per sample, in the memory layout of `gather_poses`."""
        fields = {name: getattr(self.cameras, name) for name in TENSOR_SHAPES}
        numbers = gather_poses(torch.cat([field.flatten(1) for field in fields.values()], dim=1), index)
        parts = numbers.split([field[0].numel() for field in fields.values()], dim=1)
        return Camera(
            **{name: part.unflatten(1, TENSOR_SHAPES[name]) for name, part in zip(fields, parts, strict=True)}
        )

    def parts(self) -> Iterable[tuple[Tensor, Tensor]]:
        """`poses` of all samples, in order, in chunks."""
        for index in torch.arange(len(self), device=self.device).split(SAMPLES_AT_ONCE):
            yield self.poses(index)

    def clips(self) -> Iterable[tuple[str, Tensor]]:
        """(name, sample indices in order) of each sequence and camera; a name is "S9/Walking 1/54138969"."""
        for number, sequence in enumerate(self.sequences):
            frames = (self.sequence == number).nonzero()[:, 0]
            for camera, camera_name in enumerate(CAMERA_NAMES):
                yield f"S{sequence.subject}/{sequence.name}/{camera_name}", frames * CAMERAS + camera

    def names(self, samples: Several[int]) -> list[str]:
        """For messages: sequence, row in its file, from 0, and camera, e.g. "S9 Walking 1 row 12 camera 54138969"."""
        frames = self.frame_names([sample // CAMERAS for sample in samples])
        cameras = (CAMERA_NAMES[sample % CAMERAS] for sample in samples)
        return [f"{frame} camera {camera}" for frame, camera in zip(frames, cameras, strict=True)]

    def frame_names(self, frames: Several[int]) -> list[str]:
        """The same for frames, without cameras."""
        return [f"{self.sequences[self.sequence[one]].label} row {int(self.row[one])}" for one in frames]

    def digest(self) -> str:
        """A hash of the poses, cameras and detections, which identifies the pose set."""
        cameras = (getattr(self.cameras, name) for name in TENSOR_SHAPES)
        parts = (self.world, self.first_camera, *cameras, self.detections)
        digest = hashlib.sha256()
        for part in parts:
            if part is not None:
                digest.update(part.cpu().numpy().tobytes())
        digest.update(self.places.encode() if self.places != "h36m" else b"")
        return digest.hexdigest()


def load_pose_set(
    files: Human36mFiles,
    subjects: Several[int],
    actions: Several[str],
    use_detections: bool = False,
    places: str = "h36m",
) -> PoseSet:
    """Load all frames of these subjects and actions.

    Args:
        use_detections: take 2D poses from the detections in `S*/StackedHourglass` instead of projecting.
        places: see `PoseSet`.

    Raises UserError if none of these sequences exists, or if a camera or a detection file is missing.
    """
    motions = load_motions(files.select(subjects, actions), slots=H36M_SLOTS)
    table = files.cameras()
    present = sorted({motion.sequence.subject for motion in motions})
    cameras = stack_cameras(table[subject, number] for subject in present for number in range(1, CAMERAS + 1))
    lengths = [len(motion.positions) for motion in motions]
    firsts = [CAMERAS * present.index(motion.sequence.subject) for motion in motions]
    return PoseSet(
        sequences=tuple(motion.sequence for motion in motions),
        world=torch.from_numpy(np.ascontiguousarray(np.concatenate([motion.positions for motion in motions]))),
        sequence=torch.repeat_interleave(torch.arange(len(motions)), torch.tensor(lengths)),
        row=torch.from_numpy(np.concatenate([motion.frames for motion in motions])),
        cameras=cameras.to(torch.float32),
        first_camera=torch.repeat_interleave(torch.tensor(firsts), torch.tensor(lengths)),
        detections=_detections(files, motions) if use_detections else None,
        places=places,
    )


def _detections(files: Human36mFiles, motions) -> Tensor:
    """(F, 4, 16, 2): detected MPII joints, reordered to the lifter's input."""
    order = joint_map(MPII, H36M_2D)
    clips = [
        np.stack([load_detections(files, motion.sequence, name)[motion.frames] for name in CAMERA_NAMES], axis=1)
        for motion in motions
    ]
    return torch.from_numpy(np.concatenate(clips)[:, :, order].astype(np.float32))
