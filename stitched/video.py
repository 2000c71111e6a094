"""Draws a video with poses: the frames with 2D poses, beside them the 3D poses in a swinging view.

python viz.py video --img_dir clip.mp4 --2d_pose_estimations data/stitched_mpii/2d_pose_estimations.pt \\
    --3d_pose_estimations data/stitched_mpii/3d_pose_estimations.pt

Frames are read, drawn and written one at a time, each in a thread of its own: memory is that of a few frames.
"""

import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stitched.pose_files import PosePair, load_pair
from twod_threed.viz import CAMERA_TILT, keys_3d
from utils.compute.pipeline import ahead, behind
from utils.console.progress import progress
from utils.doors.option_rules import from_options
from utils.imaging.captions import caption
from utils.imaging.draw2d import move_to, sketch_pose
from utils.imaging.draw3d import FLOOR_GRID, POSE_PANEL, floor_shift, pose_limits, sketch_pose_3d
from utils.imaging.figures import DARK_STYLE, PANEL_GAP, FigureStyle
from utils.imaging.image_sources import open_source
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Inset, Sketch, arranged
from utils.imaging.sound import Sound
from utils.imaging.video_source import VideoSource
from utils.imaging.video_writer import write_video
from utils.look.palette import DARK, Palette, person_color
from utils.osutils import UserError, counted, inform, warn
from utils.predictions.picture_files import matching_names, warn_about_nan
from utils.predictions.prediction_files import load_metas
from utils.predictions.tracks import LEAST_FRAMES, brief_tracks
from utils.transform import H36M

SWING = 60.0  # degrees to either side of the camera's view
SWING_SECONDS = 8.0  # period
VIEW = f"3D view: swings {SWING:.0f}° to both sides, raised 12°"
MOST_PANELS = 4
LEAST_PANEL = 240  # px, height; panels go in one row where two would be lower
MAX_SIDE, MAX_GIF_SIDE = 1280, 640  # px, of the whole picture


class Layout(NamedTuple):
    """How the 3D panels of a whole video are arranged.

    Attributes:
        slots: person (track) -> panel, from 0. People who never appear at the same time may share a panel.
        panels, rows: number of panels and of rows.
        size: (width, height) px of a panel.
        limits: (2, 3) mm, the volume shown in every panel.
    """

    slots: dict[int, int]
    panels: int
    rows: int
    size: tuple[int, int]
    limits: np.ndarray


def video(options: Namespace) -> None:
    """`viz.py video`."""
    files = options.pose_2d_estimations, options.pose_3d_estimations
    draw_video(
        options.img_dir,
        *files,
        options.output_dir,
        min_score=options.min_score,
        max_side=options.max_side,
        gif=options.gif,
        style=from_options(FigureStyle, options),
    )


def draw_video(
    img_dir: str | Path,
    pose_2d_estimations: str | Path,
    pose_3d_estimations: str | Path,
    output_dir: str | Path,
    *,
    min_score: float | None = None,
    max_side: int | None = None,
    gif: bool = False,
    style: FigureStyle = DARK_STYLE,
) -> None:
    """Draw the frames of a run with their 2D poses, and the 3D poses beside them, as a video.

    The 3D poses keep the hip over one point of one floor and the lowest joint on it, and the view swings from side to
    side. A person has one number and colour throughout. Frames keep their timestamps, and the audio is carried over.

    Args:
        img_dir: the video.
        pose_2d_estimations: file of "<stem>/<frame, 6 digits>" -> (P, J, 2) zero-based px. `metas.pt` beside it has
            the joint order, and `tracks`, the person numbers of each frame.
        pose_3d_estimations: file of the same names -> (P, 17, 3) mm, camera coordinates.
        output_dir: folder for `<stem>.mp4` (H.264).
        min_score: see `confident_joints`.
        max_side: longer side of the result in px, if it would be larger; default `MAX_SIDE`, for a GIF `MAX_GIF_SIDE`.
        gif: write `<stem>.gif`, without audio.
        style: of panels and caption.

    Raises UserError, with nothing written: `img_dir` is no video, the two files are no pair, no frame has a person,
    `metas.pt` has another number of people, or the result would overwrite the video itself.
    """
    pair = load_pair(pose_2d_estimations, pose_3d_estimations, min_score)
    pair = pair._replace(poses={name: stand(poses) for name, poses in pair.poses.items()})
    source = open_source(img_dir, "--img_dir")
    if not isinstance(source, VideoSource):
        raise UserError(f"--img_dir {img_dir}: no video; for photos use viz.py 2d_overlay_3d_pred")
    target = Path(output_dir) / f"{source.root.stem}{'.gif' if gif else '.mp4'}"
    if target.exists() and target.samefile(source.root):
        raise UserError(f"--output_dir {output_dir}: the result would overwrite the video; give another folder")
    names = matching_names(source, pair.joints, pose_2d_estimations)
    tracks = read_tracks(Path(pose_2d_estimations).with_name("metas.pt"), pair.poses, names)
    populated = sum(bool(people) for people in tracks.values())
    if not populated:
        frames = counted(len(names), "frame")
        raise UserError(f"--2d_pose_estimations {pose_2d_estimations}: no person in its {frames}, nothing to draw")
    side = max_side or (MAX_GIF_SIDE if gif else MAX_SIDE)
    doubtful = any(bool(pair.doubtful(name).any()) for name in names)
    threshold = max(pair.thresholds[name] for name in names) if doubtful else None
    frame_size, layout = fit_panels(source.size, side, tracks, pair.poses, threshold)
    size = canvas_size(frame_size, layout, threshold)
    legend = explanation(size[0], threshold, style)

    spans = np.divide(frame_size, source.size)
    source = source.with_names(names).shrunk(frame_size)
    begin = source.time(names[0])
    heard = Sound(source.root, source.start + begin, source.start + source.time(names[-1]) + 1 / source.fps)
    with write_video(target, source.fps, size, heard) as write, behind(write) as put:
        for name, frame in progress(ahead(source), len(names), "drawing", "frame"):
            time = source.time(name) - begin
            figure = compose_frame(frame, name, pair, tracks, layout, view_azimuth(time), spans, style.palette)
            canvas = Sketch(size, style.palette.gap, [Inset(figure, 0, 0), Inset(legend, 0, size[1] - legend.size[1])])
            put(canvas.raster(), time)
    people = {person for of_frame in tracks.values() for person in of_frame}
    brief = brief_tracks(tracks.values()) - set(layout.slots)
    if brief:
        inform(f"{counted(len(brief), 'person', 'people')} seen in fewer than {LEAST_FRAMES} frames: no 3D panel")
    if unshown := people - brief - set(layout.slots):
        warn(f"{len(unshown)} people have no 3D panel; the {MOST_PANELS} panels show those seen longest")
    for kind, poses in (("2D", pair.joints), ("3D", pair.poses)):
        warn_about_nan({name: poses[name] for name in names}, kind)
    inform(f"{counted(len(names), 'frame')}, {populated} of them with people, {size[0]} × {size[1]} px: {target}")


def view_azimuth(seconds: float) -> float:
    """Azimuth of the view in degrees at a time: from the camera's view to the right, back, and to the left."""
    return SWING * math.sin(2 * math.pi * seconds / SWING_SECONDS)


def stand(poses: Tensor) -> Tensor:
    """Move poses (P, 17, 3) mm vertically so that the lowest joint of each is on the floor, at height 0."""
    return poses + torch.from_numpy(floor_shift(poses, camera_tilt=CAMERA_TILT))


# ------------------------------------------------------------------------------------------ tracks and panels
def read_tracks(path: Path, poses: Mapping[str, Tensor], names: list[str]) -> dict[str, list[int]]:
    """Frame name -> the numbers of its people, from `metas.pt`, in the order of `poses` (P, 17, 3).

    Without tracks, people are numbered by their index in the frame, with a warning for frames with several people.
    Raises UserError if a frame has different numbers of tracks and people.
    """
    metas = load_metas(path) if path.is_file() else {}
    tracks, without = {}, []
    for name in names:
        meta, count = metas.get(name), len(poses[name])
        found = meta.get("tracks") if isinstance(meta, dict) else None
        if found is not None and len(found) != count:
            raise UserError(f"{path}: {name!r} has {len(found)} tracks for {count} people; give files of the same run")
        if found is None and count > 1:
            without.append(name)
        tracks[name] = list(range(count)) if found is None else [int(number) for number in found]
    if without:
        warn(f"{path} has no tracks for {len(without)} frames: people may swap numbers")
    return tracks


def assign_slots(tracks: Mapping[str, list[int]], most: int) -> dict[int, int]:
    """Person -> panel, below `most`. People in more frames have priority, and keep their panel from their first to
    their last frame. People without a panel are missing; `brief_tracks` have none if there are others. `tracks`: frame
    name -> people, frames in order."""
    spans: dict[int, list[int]] = {}
    for place, people in enumerate(tracks.values()):
        for person in people:
            spans.setdefault(person, []).append(place)
    brief = brief_tracks(tracks.values())
    spans = {person: places for person, places in spans.items() if person not in brief} or spans
    taken: list[list[tuple[int, int]]] = [[] for _ in range(most)]
    slots = {}
    for person, places in sorted(spans.items(), key=lambda item: (-len(item[1]), item[0])):
        first, last = places[0], places[-1]
        free = [slot for slot in range(most) if all(last < start or first > end for start, end in taken[slot])]
        if free:
            slots[person] = free[0]
            taken[free[0]].append((first, last))
    return slots


def arrange(size: tuple[int, int], tracks: Mapping[str, list[int]], poses: Mapping[str, Tensor]) -> Layout:
    """Arrange the panels beside frames of `size` (width, height) px."""
    slots = assign_slots(tracks, MOST_PANELS)
    panels = max(slots.values(), default=0) + 1
    rows = 2 if panels > 1 and size[1] >= 2 * LEAST_PANEL else 1
    height = (size[1] - PANEL_GAP * (rows - 1)) // rows
    width = min(round(height * POSE_PANEL[0] / POSE_PANEL[1]), size[0])
    shown = [poses[name][k] for name, people in tracks.items() for k, person in enumerate(people) if person in slots]
    points = torch.stack(shown) if shown else torch.zeros(0, 3)
    return Layout(slots, panels, rows, (width, height), pose_limits(points, camera_tilt=CAMERA_TILT))


def fit_panels(
    size: tuple[int, int],
    max_side: int,
    tracks: Mapping[str, list[int]],
    poses: Mapping[str, Tensor],
    threshold: float | None = None,
) -> tuple[tuple[int, int], Layout]:
    """The size at which frames of `size` (width, height) px are drawn so that the longer side of the result is at most
    `max_side` px, never larger than they are; and the layout for it."""
    factor = 1.0
    while True:
        scaled = scaled_size(size, factor)
        layout = arrange(scaled, tracks, poses)
        longer = max(canvas_size(scaled, layout, threshold))
        if longer <= max_side + max_side % 2:
            return scaled, layout
        factor *= min(max_side / longer, 0.999)  # gaps and rounding do not shrink with it


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(width, height) px, times `factor`."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def canvas_size(size: tuple[int, int], layout: Layout, threshold: float | None = None) -> tuple[int, int]:
    """(width, height) px of the result, both even, for frames of `size`; `threshold` as for `explanation`."""
    columns = math.ceil(layout.panels / layout.rows)
    width = size[0] + columns * (layout.size[0] + PANEL_GAP)
    width += width % 2
    height = size[1] + explanation(width, threshold).size[1]
    return width, height + height % 2


def explanation(width: int, threshold: float | None, style: FigureStyle = DARK_STYLE) -> Sketch:
    """The strip below all frames. `threshold`: the confidence below which joints are doubtful, if there are any."""
    return caption(width, keys_3d(style, truth=False, threshold=threshold), [VIEW, FLOOR_GRID], style.palette)


# ------------------------------------------------------------------------------------------ drawing
def compose_frame(
    frame: np.ndarray,
    name: str,
    pair: PosePair,
    tracks: Mapping[str, list[int]],
    layout: Layout,
    azimuth: float,
    spans: np.ndarray | float = 1.0,
    palette: Palette = DARK,
) -> Sketch:
    """One frame (H, W, 3) with its 2D poses and all panels beside it; bare without people.

    `spans`: as `move_to` takes them, (2,) in x and y, from the frames that `pair` refers to.
    """
    people = tracks.get(name, [])
    numbered = len(layout.slots) > 1
    joints = move_to(pair.shown[name], spans) if people else np.zeros((0, len(pair.skeleton), 2))
    places = {layout.slots[person]: place for place, person in enumerate(people) if person in layout.slots}
    view = {"camera_tilt": CAMERA_TILT, "limits": layout.limits, "azimuth": azimuth, "walls": False, "palette": palette}
    columns = math.ceil(layout.panels / layout.rows)
    view["text_size"] = text_size = size_for(frame.shape[1] + columns * (layout.size[0] + PANEL_GAP))
    numbers = people if numbered else ()
    shown = sketch_pose(frame, joints, pair.skeleton, min_side=0, numbers=numbers, palette=palette, text_size=text_size)
    panels = []
    for slot in range(layout.panels):
        place, who = places.get(slot), {"titled": numbered}
        pose = torch.zeros(0, len(H36M), 3) if place is None else pair.poses[name][place]
        if place is not None:
            who["doubtful"] = pair.doubtful(name)[place]
        if numbered and place is not None:
            who |= {"title": f"person {people[place]}", "title_color": person_color(people[place])}
        panels.append(sketch_pose_3d(pose, H36M, layout.size, **who, **view))
    return arranged([shown, arranged(panels, columns, PANEL_GAP, palette.gap)], 2, PANEL_GAP, palette.gap)
