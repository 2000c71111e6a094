"""Folders of predictions, written as run.py writes them."""

from pathlib import Path

import torch

from utils.predictions.pose_results import PoseResults
from utils.transform import H36M, MPII

FPS = 25.0
# Frame -> tracks: person 1 is missing in frame 2.
CLIP = {0: [0, 1], 1: [1, 0], 2: [0], 3: [0, 1]}
# A person who faces the camera, in its frame: x right, y down, z forward, mm.
STANDING = torch.tensor(
    [
        (0, 0, 0), (-130, 0, 0), (-130, 450, 0), (-130, 900, 0), (130, 0, 0), (130, 450, 0), (130, 900, 0),
        (0, -250, 0), (0, -500, 0), (0, -600, -80), (0, -720, 0), (170, -500, 0), (420, -500, 0), (670, -500, 0),
        (-170, -500, 0), (-420, -500, 0), (-670, -500, 0),
    ], dtype=torch.float32,
)  # fmt: skip


def pose_of(track: int, frame: int) -> torch.Tensor:
    """(17, 3) mm: standing, a step to the right per frame."""
    return STANDING + torch.tensor([1000.0 * track + 10 * frame, 0, 3000])


def joints_of(track: int, frame: int) -> torch.Tensor:
    """(16, 2) px, numbered."""
    return torch.arange(32.0).reshape(16, 2) + 100 * track + frame


def clip_folder(folder: Path) -> Path:
    """Two people in four frames of a video."""
    results = PoseResults(MPII, image_kind="frame")
    for frame, tracks in CLIP.items():
        meta = {"fps": FPS, "tracks": tracks, "size": [640, 480]}
        joints, poses = (torch.stack([of(track, frame) for track in tracks]) for of in (joints_of, pose_of))
        results.add(f"clip/{frame:06d}", meta, joints, torch.full(joints.shape[:2], 0.5), poses)
    results.save(folder)
    return folder


def photo_folder(folder: Path) -> Path:
    """Two people in one photo, one in another, nobody in a third."""
    results = PoseResults(MPII)
    for name, count in {"two.jpg": 2, "sub/one.jpg": 1, "none.jpg": 0}.items():
        joints = torch.stack([joints_of(k, 0) for k in range(count)]) if count else torch.zeros(0, len(MPII), 2)
        poses = torch.stack([pose_of(k, 0) for k in range(count)]) if count else torch.zeros(0, len(H36M), 3)
        results.add(name, {"size": [640, 480]}, joints, torch.full(joints.shape[:2], 0.5), poses)
    results.save(folder)
    return folder
