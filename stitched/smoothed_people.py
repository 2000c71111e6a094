"""Smooths the people that were tracked through a video: `run.py stitched_mpii --smooth`.

Along each track, swapped legs and arms are repaired, gaps of up to `MAX_GAP` seconds are filled, the 2D poses are
filtered and lifted again, and the 3D poses are filtered.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.osutils import counted
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothing import fill_gaps, one_euro, repair_swaps, zero_phase

METHODS = ("none", "one_euro", "zero_phase")
MAX_GAP = 0.5  # seconds; the tracker keeps a lost person for 12 frames, i.e. 0.48 s at 25 frames per second
BODY = 500.0  # mm, root mean square distance of a person's joints from their mean


def smooth_people(results: PoseResults, method: str, lift: Callable[[Tensor], Tensor]) -> str:
    """Replace the poses of a video by smoothed ones; returns a summary.

    `metas` keep the raw values: `raw_joints` (P, J, 2) px and `raw_joints_3d` (P, 17, 3) mm, NaN for a filled person;
    `filled` (P,) tells whether a person was interpolated, `swapped` (P, 2) whether legs and arms were swapped.

    Args:
        results: of a video or a camera: `metas` have `time` and `tracks`.
        method: "one_euro" (causal) or "zero_phase".
        lift: (N, J, 2) px -> (N, 17, 3) mm.
    """
    names = list(results.metas)
    times = torch.tensor([results.metas[name]["time"] for name in names], dtype=torch.float64)
    people: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in names}
    for track in sorted({track for name in names for track in results.metas[name]["tracks"]}):
        for frame, person in _smooth_track(results, names, times, track, method, lift).items():
            people[names[frame]][track] = person
    for name in names:
        _put_back(results, name, people[name])
    rows = [person for of_frame in people.values() for person in of_frame.values()]
    filled = sum(bool(person["filled"]) for person in rows)
    swapped = sum(int(person["swapped"].sum()) for person in rows)
    return (
        f"smoothed by {method}: {counted(filled, 'pose')} filled in gaps of up to {MAX_GAP:g} s, "
        f"{counted(swapped, 'pair')} of legs or arms swapped back; metas.pt keeps the raw values"
    )


def _smooth_track(
    results: PoseResults,
    names: list[str],
    times: Tensor,
    track: int,
    method: str,
    lift: Callable[[Tensor], Tensor],
) -> dict[int, dict[str, Tensor]]:
    """Frame number -> the fields of this person in that frame, for frames with a pose or a filled one."""
    places = {frame: meta["tracks"].index(track) for frame, meta in _with_track(results, names, track)}
    first, last = min(places), max(places)
    raw = {
        "joints": [results.joints[name] for name in names],
        "joints_3d": [results.joints_3d[name] for name in names],
        "scores": [results.scores[name] for name in names],
        "boxes": [results.metas[name]["boxes"] for name in names],
        "box_scores": [results.metas[name]["box_scores"] for name in names],
    }
    rows = {kind: _gather(frames, places, first, last) for kind, frames in raw.items()}
    span = times[first : last + 1]
    size = median_size(rows["joints"])
    repaired, swapped = repair_swaps(rows["joints"], results.skeleton, size)
    values = {kind: fill_gaps(part, span, MAX_GAP)[0] for kind, part in (rows | {"joints": repaired}).items()}
    joints = smooth_poses(values["joints"], span, size, method)
    joints_3d = smooth_poses(lift(joints.float()).to(joints), span, BODY, method)
    missing = rows["joints"].isnan().all(-1).all(-1)
    return {
        first + k: {kind: part[k] for kind, part in values.items()}
        | {"joints": joints[k], "joints_3d": joints_3d[k], "filled": missing[k], "swapped": swapped[k]}
        | {"raw_joints": rows["joints"][k], "raw_joints_3d": rows["joints_3d"][k]}
        for k in range(len(span))
        if joints[k].isfinite().any()
    }


def _with_track(results: PoseResults, names: list[str], track: int) -> list[tuple[int, dict]]:
    metas = [(frame, results.metas[name]) for frame, name in enumerate(names)]
    return [(frame, meta) for frame, meta in metas if track in meta["tracks"]]


def _gather(frames: list[Tensor], places: dict[int, int], first: int, last: int) -> Tensor:
    """(T, ...) float64 of one person, from the people of each frame; NaN where missing."""
    example = frames[first]
    rows = torch.full((last - first + 1, *example.shape[1:]), torch.nan, dtype=torch.float64)
    for frame, place in places.items():
        rows[frame - first] = frames[frame][place].double()
    return rows


def smooth_poses(poses: Tensor, times: Tensor, size: float, method: str) -> Tensor:
    """Poses (T, J, D) after the filter `method` of `METHODS`; `size` in their unit."""
    return one_euro(poses, times, size) if method == "one_euro" else zero_phase(poses, times)


def median_size(joints: Tensor) -> float:
    """Median over the frames of the root mean square distance of the joints (T, J, 2) from their mean."""
    distance = (joints - joints.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
    return max(float(distance.nanmedian()), 1e-6)


def _put_back(results: PoseResults, name: str, people: dict[int, dict[str, Tensor]]) -> None:
    meta = results.metas[name]
    empty = {
        "joints": results.joints[name],
        "joints_3d": results.joints_3d[name],
        "scores": results.scores[name],
        "boxes": meta["boxes"],
        "box_scores": meta["box_scores"],
        "raw_joints": results.joints[name],
        "raw_joints_3d": results.joints_3d[name],
    }
    tracks = sorted(people)
    fields = {
        kind: torch.stack([people[track][kind] for track in tracks]).to(like.dtype) if tracks else like[:0]
        for kind, like in empty.items()
    }
    results.joints[name], results.joints_3d[name] = fields["joints"], fields["joints_3d"]
    results.scores[name] = fields["scores"]
    meta["tracks"] = tracks
    meta["filled"] = [bool(people[track]["filled"]) for track in tracks]
    meta["swapped"] = [people[track]["swapped"].tolist() for track in tracks]
    meta |= {key: fields[key] for key in ("scores", "boxes", "box_scores", "raw_joints", "raw_joints_3d")}
