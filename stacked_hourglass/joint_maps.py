"""A person's heat maps and saliency maps as one figure: a cell per joint, side by side on the crop."""

import cv2
import numpy as np
from torch import Tensor

from stacked_hourglass.saliency import SALIENCY_KINDS
from utils.imaging.captions import Key, captioned, side_keys, titled
from utils.imaging.draw2d import as_picture, heat_map_image, heat_ramp, sketch_pose
from utils.imaging.figures import DARK_STYLE, FigureStyle
from utils.imaging.heatmaps import decode_heatmaps, heatmap_to_crop
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Disc, Sketch, arranged, as_sketch
from utils.look.palette import Color
from utils.transform import Skeleton, spoken

COLUMNS, GAP, CELL_GAP = 4, 4, 12  # joints per row; px within and between the cells of joints
SALIENCY_BLUR = 2.0  # crop px; single pixels of a gradient look like noise
SALIENCY_CLIPPED = 0.002  # share of a map's pixels that get the lightest colour, so that outliers don't set the scale
SALIENCY_OPACITY = 0.85
RING = 10.0  # px, radius


def notes(kind: str) -> list[str]:
    """Sentences that explain the figure; `kind` as for `saliency_maps`."""
    return [
        "of each joint: heat map of the last stack, with a ring at its peak; saliency",
        f"saliency: |dS / d pixel|, largest of R, G, B (Simonyan et al. 2014), S = {SALIENCY_KINDS[kind]}; "
        f"blurred by {SALIENCY_BLUR:g} px",
    ]


def draw_joint_maps(
    crop: np.ndarray,
    heatmaps: Tensor,
    saliency: Tensor,
    skeleton: Skeleton,
    kind: str,
    with_skeleton: bool = False,
    title: str = "",
    min_score: float = 0.0,
    style: FigureStyle = DARK_STYLE,
) -> Sketch:
    """A cell per joint, `COLUMNS` in a row: name and height of the peak above the heat map and the saliency map, both
    on the crop. All heat maps have one scale of colours, and all saliency maps one.

    A ring in the colour of the joint's side shows where the joint was found.

    Args:
        crop: (H, W, 3) uint8 RGB.
        heatmaps, saliency: (J, H / 4, W / 4) and (J, H, W), from `saliency_maps` for the crop.
        skeleton: joint order, J joints.
        kind: kind of the saliency maps, whose definition is written in the figure.
        with_skeleton: put a third picture first in every cell, the crop with all joints found.
        title: a line at the top.
        min_score: joints with a lower peak get no ring and are not in the skeleton; their name says so.
    """
    crop, palette = as_picture(crop), style.palette
    points, peaks = decode_heatmaps(heatmaps[None])
    places, peaks = heatmap_to_crop(points[0]).cpu().numpy(), peaks[0].cpu().numpy()
    person = sketch_pose(crop, places, skeleton, peaks, min_score, min_side=0, palette=palette).raster()
    maps, highest = smoothed(saliency), float(np.nan_to_num(heatmaps.cpu().numpy()).max())
    most = float(np.nan_to_num(maps).max())
    pictures = 2 + with_skeleton
    columns = min(COLUMNS, len(skeleton))
    size = min(size_for(columns * (pictures * (crop.shape[1] + GAP) + CELL_GAP)), crop.shape[0] // 6)
    cells = []
    for joint, place, peak, heatmap, salient in zip(skeleton.joints, places, peaks, heatmaps, maps, strict=True):
        known = bool(peak >= min_score)
        shown = [heat_map_image(crop, heatmap, highest=highest), heat_map_image(crop, salient, SALIENCY_OPACITY, most)]
        rings = [_ringed(one, place, palette.sides[skeleton.side(joint)], known) for one in shown]
        row = arranged([person, *rings] if with_skeleton else rings, pictures, GAP, palette.gap)
        below = "" if known else f", below {min_score:.2g}"
        cells.append(titled(row, f"{spoken(joint)}, peak {peak:.2f}{below}", palette, size))
    figure = arranged(cells, COLUMNS, CELL_GAP, palette.gap)
    figure = titled(figure, title, palette, size) if title else figure
    bars = [
        Key(f"heat map, 0 to {highest:.2f}", ramp=heat_ramp()),
        Key("saliency, 0 to the largest of all joints", ramp=heat_ramp()),
    ]
    return captioned(figure, [*side_keys(palette), *bars], notes(kind), palette)


def smoothed(saliency: Tensor) -> np.ndarray:
    """(J, H, W) saliency maps as displayed: blurred, with the highest values clipped."""
    maps = [cv2.GaussianBlur(one, (0, 0), SALIENCY_BLUR) for one in saliency.cpu().numpy()]
    highest = np.quantile(maps, 1 - SALIENCY_CLIPPED, axis=(1, 2), keepdims=True)
    return np.minimum(maps, highest)


def _ringed(picture: np.ndarray, place: np.ndarray, color: Color, known: bool) -> Sketch:
    """The picture with a ring around a point (2,), px, if it is known."""
    sketch = as_sketch(picture)
    return sketch.add(Disc(place, RING, (20, 20, 20), 4), Disc(place, RING, color, 2)) if known else sketch
