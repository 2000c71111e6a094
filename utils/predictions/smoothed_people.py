"""Smoothing of tracked people: `--smooth` of the run scripts.

For each track: undo left-right swaps of legs and arms, fill gaps of up to `MAX_GAP` seconds, and filter the 2D poses.
With a lifter, lift them again and filter the 3D poses.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from utils.osutils import counted
from utils.predictions.limb_swaps import repair_swaps, swap_sides
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothing import fill_gaps, one_euro, zero_phase
from utils.transform import Skeleton

MAX_GAP = 0.5  # seconds; the tracker keeps a lost person for 12 frames, i.e. 0.48 s at 25 frames per second
BODY = 500.0  # mm, root mean square distance of a person's joints from their mean

Lift = Callable[[Tensor], Tensor]  # (N, J, 2) px -> (N, 17, 3) mm


def smooth_people(results: PoseResults, method: str, lift: Lift | None = None) -> str:
    """Replace the poses of a video by smoothed ones; returns a summary.

    `metas` keep the raw values: `raw_joints` (P, J, 2) px and, with 3D poses, `raw_joints_3d` (P, 17, 3) mm, NaN for a
    filled person; `filled` (P,) tells whether a person was interpolated, `swapped` (P, 2) whether legs and arms were
    swapped.

    Args:
        results: of a video or a camera; `metas` have `time` and `tracks`.
        method: "one_euro" (causal) or "zero_phase".
        lift: makes the 3D poses; required where the results have any.
    """
    names = list(results.metas)
    times = torch.tensor([results.metas[name]["time"] for name in names], dtype=torch.float64)
    fields = _fields(results)
    people: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in names}
    for track, places in sorted(_places(results).items()):
        first, last = min(places), max(places)
        rows = {kind: _gather(frames, places, first, last) for kind, frames in fields.items()}
        person = _smoothed(rows, times[first : last + 1], results.skeleton, method, lift)
        for row in person["joints"].isfinite().flatten(1).any(1).nonzero()[:, 0].tolist():
            people[names[first + row]][track] = {kind: part[row] for kind, part in person.items()}
    for frame, name in enumerate(names):
        _put_back(results, name, people[name], {kind: frames[frame] for kind, frames in fields.items()})
    rows = [person for of_frame in people.values() for person in of_frame.values()]
    filled = sum(bool(person["filled"]) for person in rows)
    swapped = sum(int(person["swapped"].sum()) for person in rows)
    return (
        f"smoothed by {method}: {counted(filled, 'pose')} filled in gaps of up to {MAX_GAP:g} s, "
        f"{counted(swapped, 'pair')} of legs or arms swapped back; metas.pt keeps the raw values"
    )


def _fields(results: PoseResults) -> dict[str, list[Tensor]]:
    """Kind of value -> the values (P, ...) of the people of each frame."""
    kinds = {"joints": results.joints, "scores": results.scores} | (
        {"joints_3d": results.joints_3d} if results.joints_3d else {}
    )
    fields = {kind: [values[name] for name in results.metas] for kind, values in kinds.items()}
    metas = results.metas.values()
    noted = [kind for kind in ("boxes", "box_scores") if all(meta.get(kind) is not None for meta in metas)]
    return fields | {kind: [meta[kind] for meta in metas] for kind in noted}


def _places(results: PoseResults) -> dict[int, dict[int, int]]:
    """Track -> frame number -> the person's index in that frame."""
    places: dict[int, dict[int, int]] = {}
    for frame, meta in enumerate(results.metas.values()):
        for place, track in enumerate(meta["tracks"]):
            places.setdefault(track, {})[frame] = place
    return places


def _smoothed(
    rows: dict[str, Tensor], times: Tensor, skeleton: Skeleton, method: str, lift: Lift | None
) -> dict[str, Tensor]:
    """The smoothed fields (T, ...) of a person; `joints` are NaN in frames without the person."""
    size = median_size(rows["joints"])
    repaired, swapped = repair_swaps(rows["joints"], skeleton, size)
    sided = {"joints": repaired, "scores": swap_sides(rows["scores"], skeleton, swapped)}
    person = {kind: fill_gaps(part, times, MAX_GAP)[0] for kind, part in (rows | sided).items()}
    person["joints"] = smooth_poses(person["joints"], times, size, method)
    if "joints_3d" in rows:
        lifted = lift(person["joints"].float()).to(person["joints"])
        person["joints_3d"] = smooth_poses(lifted, times, BODY, method)
    missing = rows["joints"].isnan().flatten(1).all(1)
    return person | {"filled": missing, "swapped": swapped} | {f"raw_{kind}": rows[kind] for kind in _poses(rows)}


def _poses(fields: dict[str, Any]) -> list[str]:
    return [kind for kind in ("joints", "joints_3d") if kind in fields]


def _gather(frames: list[Tensor], places: dict[int, int], first: int, last: int) -> Tensor:
    """(T, ...) float64 of one person, from the people of each frame; NaN where missing."""
    example = frames[first]
    rows = torch.full((last - first + 1, *example.shape[1:]), torch.nan, dtype=torch.float64)
    for frame, place in places.items():
        rows[frame - first] = frames[frame][place].double()
    return rows


def smooth_poses(poses: Tensor, times: Tensor, size: float, method: str) -> Tensor:
    """Poses (T, J, D) after the filter `method`; `size` in their unit."""
    return one_euro(poses, times, size) if method == "one_euro" else zero_phase(poses, times)


def median_size(joints: Tensor) -> float:
    """Median over the frames of the root mean square distance of the joints (T, J, 2) from their mean."""
    distance = (joints - joints.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
    return max(float(distance.nanmedian()), 1e-6)


def _put_back(results: PoseResults, name: str, people: dict[int, dict[str, Tensor]], before: dict[str, Tensor]) -> None:
    """Replace the people of a frame, whose values were `before`."""
    meta, tracks = results.metas[name], sorted(people)
    like = before | {f"raw_{kind}": before[kind] for kind in _poses(before)}
    fields = {
        kind: torch.stack([people[track][kind] for track in tracks]).to(values.dtype) if tracks else values[:0]
        for kind, values in like.items()
    }
    for kind in _poses(before):
        getattr(results, kind)[name] = fields.pop(kind)
    results.scores[name] = fields["scores"]
    meta["tracks"] = tracks
    meta["filled"] = [bool(people[track]["filled"]) for track in tracks]
    meta["swapped"] = [people[track]["swapped"].tolist() for track in tracks]
    meta |= fields
