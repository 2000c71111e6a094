"""Jitter: how much the joints of people who are followed over time accelerate from frame to frame."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

JITTER_DEFINITION = (
    "Jitter: mean length of a joint's acceleration, |p(t-1) - 2 p(t) + p(t+1)|, over three frames in a row"
)


def jitter(tracks: Iterable[Tensor]) -> tuple[float, int]:
    """Mean acceleration of joints, and how many times a pose was in three frames in a row.

    The mean is over all joints of these times. It is 0 for constant velocity and NaN where there are no such times.

    Args:
        tracks: poses (T, J, D) of one person each, in frames of equal distance; NaN where the person is missing.

    Returns:
        The mean in the unit of the poses per frame², and the number of times.
    """
    accelerations = [poses.diff(n=2, dim=0).norm(dim=-1) for poses in tracks]
    found = torch.cat([rows[rows.isfinite().all(1)].double() for rows in accelerations]) if accelerations else None
    return (found.mean().item(), len(found)) if found is not None and len(found) else (float("nan"), 0)


def poses_over_time(metas: Mapping[str, dict[str, Any]], poses: Mapping[str, Tensor]) -> list[Tensor]:
    """Poses (T, J, D) of each track of a video, NaN where the person is missing, in the order of first appearance.

    Args:
        metas: name of each frame, in order -> facts of it; `tracks` are the people's track numbers.
        poses: name of a frame -> (P, J, D) of the same people.
    """
    people: dict[int, Tensor] = {}
    for frame, (name, meta) in enumerate(metas.items()):
        for track, pose in zip(meta["tracks"], poses[name], strict=True):
            rows = people.setdefault(track, pose.new_full((len(metas), *pose.shape), torch.nan))
            rows[frame] = pose
    return list(people.values())
